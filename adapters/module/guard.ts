import { setTimeout as delay, setImmediate as turnOfLoop } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ReadError } from "../../src/errors.ts";
import type { Adapter, ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import type { Service, ServiceKey } from "../../src/model/service.ts";
import type { ModuleLog } from "../contract.ts";
import type { Trust } from "../service-form.ts";
import { checkEnvelope, type JudgedRead, plainError, readJudge } from "../trust.ts";
import { patience } from "./patience.ts";

/** How far a module's adapter is believed. */
export interface GuardOptions extends Trust {
  readonly readTimeoutMs: number;
  readonly log: ModuleLog;
}

/** So long at most in one turn of the event loop: DNS is answered in between. */
const TURN_MS = 10;
/** Hints may not come faster than this: each one is a whole read. */
const HINT_GAP_MS = 200;
const CLOSE_MS = 5000;
const MOST_FAULTS = 20;
/** Services that are missing from incomplete snapshots are remembered up to so many besides as many as there are. */
const MOST_MISSING = 1000;

/**
 * An adapter that nobody needs to trust to be right: what it reads is checked and copied, unchanged services keep their
 * identity whatever it does, and a call that does not end holds up nothing.
 *
 * On a hint a service object that was handed over before is taken for unchanged; on a poll every one is looked at again.
 */
export function guarded(adapter: Adapter, { readTimeoutMs, log, ...trust }: GuardOptions): Adapter {
  const { registry } = trust;
  const judge = readJudge(trust);
  const reading = patience("read");
  const waiting = patience("waitForChange");
  let known = new WeakMap<object, JudgedRead>();
  let before: ReadonlyMap<ServiceKey, Service> = new Map();

  async function read(signal: AbortSignal, options: { readonly trigger: "poll" | "hint" }): Promise<Snapshot> {
    signal.throwIfAborted();
    try {
      const given = await reading.during(signal, readTimeoutMs, (inner) => adapter.read(inner, options));
      const { services, ...frame } = checkEnvelope(given, registry);
      if (options.trigger === "poll") known = new WeakMap();
      const breathe = breather(signal);
      const judged = await judgeAll(services, breathe);
      return await admit(frame, judged, breathe);
    } catch (error) {
      signal.throwIfAborted();
      const plain = plainError(error);
      const message = `Cannot read services of registry "${registry}": ${plain.message}`;
      throw plain instanceof ReadError ? new ReadError(plain.failure, message) : new Error(message);
    }
  }

  async function judgeAll(reads: readonly unknown[], breathe: () => Promise<void>): Promise<readonly JudgedRead[]> {
    const judged: JudgedRead[] = [];
    for (const given of reads) {
      await breathe();
      judged.push(judgeOnce(given));
    }
    return judged;
  }

  function judgeOnce(given: unknown): JudgedRead {
    const service = (given as { readonly service?: unknown } | null | undefined)?.service;
    const remembered = typeof service === "object" && service !== null ? known.get(service) : undefined;
    const judged = remembered ?? inOrder(judge(given));
    if (typeof service === "object" && service !== null) known.set(service, judged);
    return judged;
  }

  async function admit(
    frame: Omit<Snapshot, "services">,
    judged: readonly JudgedRead[],
    breathe: () => Promise<void>,
  ): Promise<Snapshot> {
    const faults = judged.flatMap((one) => (one.state === "nameless" ? [one.fault] : []));
    const byKey = Map.groupBy(
      judged.filter((one) => one.state !== "nameless"),
      ({ key }) => key,
    );
    const keys = [...byKey.keys()].sort();
    const services: ServiceRead[] = [];
    const incomplete = [...(frame.incomplete === undefined ? [] : [frame.incomplete]), ...few(faults)].join("; ");
    // What an incomplete snapshot lacks may come back unchanged; but names that come and go must not pile up.
    const isMuch = before.size > 2 * keys.length + MOST_MISSING;
    const next = new Map(incomplete === "" || isMuch ? [] : before);
    for (const key of keys) {
      await breathe();
      const read = readOf(key, byKey.get(key) ?? []);
      services.push(read);
      const service = read.state === "ok" ? read.service : before.get(key); // after a failed read it may come back unchanged
      if (service !== undefined) next.set(key, service);
    }
    before = next;
    return { ...frame, services, ...(incomplete === "" ? {} : { incomplete }) };
  }

  function readOf(key: ServiceKey, twins: readonly Exclude<JudgedRead, { state: "nameless" }>[]): ServiceRead {
    const [first] = twins;
    if (first === undefined || twins.length > 1)
      return {
        state: "failed",
        key,
        cause: new ReadError("answer", `${key} stands ${twins.length} times in one snapshot`),
      };
    if (first.state === "failed") return { state: "failed", key, cause: first.cause };
    const last = before.get(key);
    return {
      state: "ok",
      service: last !== undefined && isDeepStrictEqual(last, first.service) ? last : first.service,
    };
  }

  async function waitForChange(revision: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const begunMs = performance.now();
    await waiting.during(signal, undefined, async (inner) => adapter.waitForChange?.(revision, inner));
    const restMs = HINT_GAP_MS - (performance.now() - begunMs);
    if (restMs > 0) await delay(restMs, undefined, { signal });
  }

  async function close(): Promise<void> {
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(new Error(`it did not close within ${CLOSE_MS} ms`)), CLOSE_MS);
    try {
      await patience("close").during(end.signal, undefined, async () => adapter.close?.());
    } catch (error) {
      log.warn({ error }, "the module's adapter could not be closed");
    } finally {
      clearTimeout(timer);
    }
  }

  return { registry, read, ...(adapter.waitForChange === undefined ? {} : { waitForChange }), close };
}

/** Gives way to other work when its own has taken a while. Rejects when `signal` aborts. */
function breather(signal: AbortSignal): () => Promise<void> {
  let sinceMs = performance.now();
  return async () => {
    if (performance.now() - sinceMs < TURN_MS) return;
    await turnOfLoop();
    signal.throwIfAborted();
    sinceMs = performance.now();
  };
}

/** What a registry lists in another order each time is no change. */
function inOrder(judged: JudgedRead): JudgedRead {
  if (judged.state !== "ok") return judged;
  const { endpoints, leftOut } = judged.service;
  return { ...judged, service: { ...judged.service, endpoints: sorted(endpoints), leftOut: sorted(leftOut) } };
}

function sorted<Item extends { readonly address: string }>(items: readonly Item[]): readonly Item[] {
  const keyed = items.map((item) => ({ item, key: `${item.address} ${JSON.stringify(item)}` }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))).map(({ item }) => item);
}

function few(faults: readonly string[]): readonly string[] {
  const rest = faults.length - MOST_FAULTS;
  return [...faults.slice(0, MOST_FAULTS), ...(rest > 0 ? [`and ${rest} more`] : [])];
}
