import { setTimeout as delay } from "node:timers/promises";
import { backOff } from "../async/back-off.ts";
import { firstOf } from "../async/loop.ts";
import { ConflictError } from "../errors.ts";
import type { Log } from "../log.ts";
import { callerText, type DemandChannel, MOST_TOLD, type StandingDemand } from "../model/demand.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Decision } from "../plan/decision.ts";
import { isStillNews, knows } from "../plan/known.ts";
import type { Demand } from "./demand.ts";
import type { Leadership } from "./leadership.ts";

/** What the replicas tell each other by. */
export interface RelayOptions {
  readonly channel: DemandChannel;
  readonly demand: Demand;
  readonly leadership: Leadership;
  /** The last decision; `undefined` before the first. */
  readonly latest: () => Decision | undefined;
  /** By registry, of those that run on demand. */
  readonly ttlMs: ReadonlyMap<string, number>;
  /** By the target's clock. */
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** What comes in a burst is told at once. */
const BURST_MS = 100;
/** What the leader cannot build in this time is told again by whoever asks again. */
const TOLD_LIVES_MS = 600_000;
const LOOK_AGAIN_MS = 1000;

/** Tell the leader what others hear, and as leader take back what is done; until `signal` aborts. */
export async function relayDemand(options: RelayOptions): Promise<void> {
  const { channel, demand, leadership, signal, log } = options;
  /** News that the leader was not told of yet. */
  const untold = new Set<ServiceKey>();
  const seen = { demand: -1, channel: -1, leadership: -1 };
  const following = channel.follow(signal);
  let failures = 0;
  while (!signal.aborted) {
    try {
      await firstOf(
        signal,
        (inner) => demand.changes.wait(seen.demand, inner),
        (inner) => channel.wait(seen.channel, inner),
        (inner) => leadership.changes.wait(seen.leadership, inner),
        (inner) => delay(LOOK_AGAIN_MS, undefined, { signal: inner }),
      );
      await delay(BURST_MS, undefined, { signal });
      seen.demand = demand.changes.version();
      seen.channel = channel.version();
      seen.leadership = leadership.changes.version();
      for (const service of demand.takeNews()) if (untold.size < MOST_TOLD) untold.add(service);
      const next = leadership.isLeader() ? lead(options, untold) : follow(options, untold);
      if (next !== undefined) await channel.tell(next);
      failures = 0;
    } catch (error) {
      if (signal.aborted) break;
      // Another replica told something meanwhile: the watch says what.
      if (error instanceof ConflictError) continue;
      if (++failures % 10 === 1)
        log.warn({ error }, "demand seen by this replica cannot be passed to the leader; it is tried again");
      await backOff(failures, signal).catch(() => undefined);
    }
  }
  await following;
}

type Told = ReadonlyMap<ServiceKey, StandingDemand>;

/** Hear what others told; gives what is still to be done of it where that is less. */
function lead({ channel, demand, latest, ...more }: RelayOptions, untold: Set<ServiceKey>): Told | undefined {
  const decision = latest();
  // What this process heard itself, it decides upon.
  untold.clear();
  if (decision === undefined) return undefined;
  const told = channel.told();
  const left = new Map<ServiceKey, StandingDemand>();
  for (const [service, what] of told) {
    if (!isOpen(service, what.lastMs, decision, more)) continue;
    left.set(service, what);
    if ((demand.demands().get(service)?.lastMs ?? 0) >= what.lastMs) continue;
    for (const caller of what.callers.length === 0 ? ["unknown"] : [...what.callers].reverse())
      demand.ask(service, { caller, via: "replica" }, what.lastMs);
  }
  return left.size < told.size ? left : undefined;
}

/** Say what was heard here beside what is said already. */
function follow({ channel, demand, latest, ...more }: RelayOptions, untold: Set<ServiceKey>): Told | undefined {
  const decision = latest();
  if (decision === undefined) return undefined;
  const told = channel.told();
  const next = new Map(told);
  for (const service of untold) {
    const asked = demand.demands().get(service);
    if (asked === undefined || told.has(service) || !isOpen(service, asked.lastMs, decision, more))
      untold.delete(service);
    else if (next.size < MOST_TOLD) next.set(service, { lastMs: asked.lastMs, callers: asked.by.map(callerText) });
  }
  return next.size > told.size ? next : undefined;
}

/** Whether something is still to be done about a question. */
function isOpen(
  service: ServiceKey,
  askedMs: number,
  decision: Decision,
  { ttlMs, nowMs }: Pick<RelayOptions, "ttlMs" | "nowMs">,
): boolean {
  return (
    knows(decision, service) && nowMs() - askedMs < TOLD_LIVES_MS && isStillNews(decision, service, askedMs, ttlMs)
  );
}
