import { type Changes, createChanges } from "../../src/async/changes.ts";
import { firstOf } from "../../src/async/loop.ts";
import { ReadError } from "../../src/errors.ts";
import type { Adapter, SkipKind, Snapshot } from "../../src/model/adapter.ts";
import { parseServiceKey, type ServiceKey } from "../../src/model/service.ts";
import type { AdapterContext } from "../context.ts";
import { nameFilter } from "../globs.ts";
import { intern } from "../intern.ts";
import { compileRules } from "../shapes/rules.ts";
import { MOST_SKIPPED } from "../shapes/skipped.ts";
import { nacosSession } from "./client/session.ts";
import { type HeldBack, heldBack } from "./held-back.ts";
import { nacosMetrics } from "./metrics.ts";
import { type Namespace, namespace, type Told } from "./namespace.ts";
import type { NacosOptions } from "./options.ts";
import { keepWatch } from "./watch.ts";

/** A registry that is a Nacos, of one server or of a cluster. `nowMs` is performance.now(). */
export function nacos(options: NacosOptions, context: AdapterContext, nowMs = () => performance.now()): Adapter {
  const { registry } = context;
  const metrics = nacosMetrics(context.metrics, registry);
  const session = nacosSession(options, context, metrics, nowMs);
  const changes = createChanges();
  const held = heldBack(nowMs, () => Math.max(...spaces.map((space) => space.settlingMs())));
  const shared = {
    ...{ registry, options, session, metrics, nowMs },
    entryOptions: {
      ...{ ...options, registry, pool: intern(), rules: compileRules(options) },
      isOnlyGroup: options.groups?.length === 1,
    },
    isWanted: nameFilter(options.services),
    onChange: changes.notify,
    onLoss: held.lost,
  };
  const spaces: readonly Namespace[] = options.namespaces.map((id) => namespace(id, shared));
  const poll = poller(registry, spaces);
  /** Why namespaces could not be read at the last poll; `undefined` while none of them ever was. */
  let failed: ReadonlyMap<string, ReadError> | undefined;

  return {
    registry,
    async read(signal, { trigger, standing = () => [] }) {
      signal.throwIfAborted();
      if (trigger === "poll" || failed === undefined || spaces.some((space) => space.isStale())) {
        failed = undefined;
        failed = await poll(signal, standing());
      }
      return tellAll(registry, spaces, failed, held, changes);
    },
    waitForChange: (revision, signal) =>
      firstOf(
        signal,
        (inner) => changes.wait(Number(revision), inner),
        (inner) => held.ripe(inner),
        ...spaces.map((space) => (inner: AbortSignal) => keepWatch(space, options.interval, inner)),
      ),
    async close() {
      for (const space of spaces) space.close();
      session.close();
    },
  };
}

type Poll = (signal: AbortSignal, standing: readonly ServiceKey[]) => Promise<ReadonlyMap<string, ReadError>>;

/** Polls all namespaces at once. @returns Why some cannot be read. @throws {ReadError} When none can. */
function poller(registry: string, spaces: readonly Namespace[]): Poll {
  return async (signal, standing) => {
    const keys = standing.flatMap((key) => parseServiceKey(key) ?? []);
    const failures = new Map<string, ReadError>();
    const polls = spaces.map(async (space) => {
      const own = keys.filter((key) => key.namespace === space.id).map(({ name }) => name);
      await space.poll(signal, own).catch((error: unknown) => {
        if (!(error instanceof ReadError)) throw error;
        failures.set(space.id, error);
      });
    });
    await Promise.all(polls);
    signal.throwIfAborted();
    const [first] = failures.values();
    if (first === undefined || failures.size < spaces.length) return failures;
    throw new ReadError(first.failure, `Cannot read services of registry "${registry}"`, { cause: first });
  };
}

function tellAll(
  registry: string,
  spaces: readonly Namespace[],
  failed: ReadonlyMap<string, ReadError>,
  held: HeldBack,
  changes: Changes,
): Snapshot {
  const look = held.look();
  if (look.isOver) changes.notify(); // what was held back is told, and that is another revision
  const all = spaces.map((space) => space.tell(look, failed.get(space.id)));
  return snapshotOf(registry, `${changes.version()}`, all);
}

function snapshotOf(registry: string, revision: string, spaces: readonly Told[]): Snapshot {
  const skippedServices = spaces.flatMap(({ skipped }) => skipped);
  const count = (kind: SkipKind) => skippedServices.filter((one) => one.kind === kind).length;
  const incomplete = spaces.flatMap((one) => one.incomplete ?? []).join("; ");
  const notes = spaces.flatMap((one) => one.notes);
  return {
    registry,
    services: spaces.flatMap(({ services }) => services),
    revision,
    ...(incomplete === "" ? {} : { incomplete }),
    skipped: {
      ...{ filter: count("filter"), infrastructure: count("infrastructure") },
      ...{ kubernetes: count("kubernetes"), name: count("name") },
    },
    ...(skippedServices.length === 0 ? {} : { skippedServices: skippedServices.slice(0, MOST_SKIPPED) }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}
