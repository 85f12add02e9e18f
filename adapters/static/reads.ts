import { isDeepStrictEqual } from "node:util";
import { inSlices, type Sliced } from "../../src/async/slices.ts";
import { describeError } from "../../src/errors.ts";
import type { ServiceRead } from "../../src/model/adapter.ts";
import type { Service, ServiceKey } from "../../src/model/service.ts";
import type { Checker } from "./check.ts";
import { targetsOf, withoutDown } from "./health.ts";
import type { Target } from "./probe.ts";
import type { Item } from "./reply.ts";

/** Makes reads of what the files say, and hands out the same objects as long as nothing changes in them. */
export interface ServiceReads {
  /** `complete`: a service without an item is no longer there. Nothing is kept before the last slice. */
  of(items: readonly Item[], complete: boolean): Sliced<readonly ServiceRead[]>;
}

/** What is kept of one service from read to read, also while it cannot be read: its checks go on. */
interface Kept {
  /** As the file has it. */
  readonly base: Service;
  readonly targets: readonly Target[];
  /** The reasons of endpoints that are down. */
  readonly down: string;
  readonly read: ServiceRead;
}

/** Reads of one registry, its health checks taken into account. */
export function serviceReads(checks: Checker, failOpen: boolean): ServiceReads {
  let kept: ReadonlyMap<ServiceKey, Kept> = new Map();
  let failed: ReadonlyMap<ServiceKey, ServiceRead> = new Map();

  function* of(items: readonly Item[], complete: boolean): Sliced<readonly ServiceRead[]> {
    const twins = new Map<ServiceKey, Item[]>();
    yield* inSlices(items, (item) => {
      const others = twins.get(item.key);
      if (others === undefined) twins.set(item.key, [item]);
      else others.push(item);
    });
    const found: Judged[] = [];
    const targets = new Map(complete ? [] : [...kept].map(([key, service]) => [key, service.targets]));
    yield* inSlices(twins, ([key, same]) => {
      const one = judged(key, same, kept.get(key)?.base);
      found.push(one);
      targets.set(key, targetsNow(one.service, one.check, kept.get(key)));
    });
    checks.adopt([...targets.values()].flat());

    const nextKept = new Map(complete ? [] : kept);
    const nextFailed = new Map<ServiceKey, ServiceRead>();
    const reads: ServiceRead[] = [];
    yield* inSlices(found, ({ key, service, problems }) => {
      const before = kept.get(key);
      const next = service === undefined ? before : withChecks(service, targets.get(key) ?? [], before);
      if (next !== undefined) nextKept.set(key, next);
      if (service !== undefined && next !== undefined) return void reads.push(next.read);
      const read = failedRead(key, problems, failed.get(key));
      nextFailed.set(key, read);
      reads.push(read);
    });
    [kept, failed] = [nextKept, nextFailed];
    return reads;
  }

  function withChecks(base: Service, targets: readonly Target[], before: Kept | undefined): Kept {
    const reasons = targets.map(({ id }) => checks.down(id));
    const down = JSON.stringify(reasons);
    if (before?.base === base && before.down === down) return { ...before, targets };
    return { base, targets, down, read: { state: "ok", service: withoutDown(base, reasons, failOpen) } };
  }

  return { of };
}

function targetsNow(service: Service | undefined, check: Item["check"], before: Kept | undefined): readonly Target[] {
  if (service === undefined) return before?.targets ?? [];
  return check === undefined ? [] : targetsOf(service, check);
}

interface Judged {
  readonly key: ServiceKey;
  readonly service?: Service;
  readonly check?: Item["check"];
  readonly problems: readonly string[];
}

/** One service of all items that bear its key; `before` is used again when it is equal. */
function judged(key: ServiceKey, twins: readonly Item[], before: Service | undefined): Judged {
  const problems = twins.flatMap((item) => item.problems);
  const [item, twin] = twins;
  if (twin !== undefined)
    return {
      key,
      problems: [`${key} is defined twice: ${twins.map(({ place }) => place).join(" and ")}`, ...problems],
    };
  if (item?.service === undefined) return { key, problems };
  const isKnown = before !== undefined && (before === item.service || isDeepStrictEqual(before, item.service));
  const service = isKnown ? before : item.service;
  return { key, service, ...(item.check === undefined ? {} : { check: item.check }), problems };
}

/** A failed read whose cause lists every problem in `errors`; the same as before when they are the same. */
function failedRead(key: ServiceKey, problems: readonly string[], before: ServiceRead | undefined): ServiceRead {
  const message = problems.join("; ");
  if (before?.state === "failed" && describeError(before.cause) === message) return before;
  const errors = problems.map((problem) => new Error(problem));
  return { state: "failed", key, cause: new AggregateError(errors, message) };
}
