import { backOffMs, pause } from "../../src/async/back-off.ts";
import type { Adapter, ReadOptions, ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import type { AdapterContext } from "../context.ts";
import { intern } from "../intern.ts";
import { type EurekaClient, eurekaClient } from "./client.ts";
import { lister } from "./listing.ts";
import { eurekaMetrics } from "./metrics.ts";
import type { EurekaOptions } from "./options.ts";

/**
 * A server that has just been started, or is another one, lists what has registered with it since: all others come back with their next
 * renewal, every 30 s, and one renewal may be lost.
 */
const SETTLE_MS = 2 * 30_000;
/** Between two questions of a server that does not answer, at most, if the interval is no longer. */
const MOST_BACK_OFF_MS = 5000;

/** A registry that is a Eureka, of one server or of several peers. `nowMs` is performance.now(). */
export function eureka(options: EurekaOptions, context: AdapterContext, nowMs = () => performance.now()): Adapter {
  const { registry } = context;
  const client = eurekaClient(options, context, eurekaMetrics(context.metrics, registry), nowMs);
  const list = lister(registry, options, intern());
  const changes = changeWatch(client, options.interval, () => settlingMs(client, nowMs()));
  let version = 0;
  let last: Snapshot | undefined;

  return {
    registry,
    async read(signal: AbortSignal, { trigger }: ReadOptions) {
      signal.throwIfAborted();
      // Before the list, so that what changes after it is told. What woke a hint is known.
      if (trigger === "poll") await changes.look(signal).catch(() => signal.throwIfAborted());
      const apps = await client.apps(signal);
      const isSettling = settlingMs(client, nowMs()) > 0;
      const { services, skipped, skippedServices } = list(apps, isSettling);
      if (!isSame(last?.services, services)) version++;
      last = {
        registry,
        services,
        revision: `${version}`,
        caseless: true,
        ...(isSettling ? { incomplete: "the server answers since a moment ago, and what it lacks may come back" } : {}),
        skipped,
        ...(skippedServices.length === 0 ? {} : { skippedServices }),
      };
      return last;
    },
    waitForChange: (_revision, signal) => changes.next(signal),
    async close() {
      client.close();
    },
  };
}

/** For how much longer the server that is asked now may lack what is registered. */
function settlingMs(client: EurekaClient, atMs: number): number {
  const sinceMs = client.answersSinceMs();
  return sinceMs === undefined ? 0 : sinceMs + SETTLE_MS - atMs;
}

/** Sees changes between two polls, by the list of changes of the last minutes. */
function changeWatch(client: EurekaClient, intervalMs: number, settling: () => number) {
  let seen: string | undefined;
  return {
    /** What has changed up to now is known. */
    async look(signal: AbortSignal): Promise<void> {
      seen = await client.changes(signal);
    },
    /** Resolves when something has changed since, or when the server has settled. */
    async next(signal: AbortSignal): Promise<void> {
      for (let failures = 0; ; ) {
        const settledMs = settling();
        const waitMs = Math.max(intervalMs, failures === 0 ? 0 : backOffMs(failures, { mostMs: MOST_BACK_OFF_MS }));
        await pause(settledMs > 0 ? Math.min(waitMs, settledMs) : waitMs, signal);
        signal.throwIfAborted();
        if (settledMs > 0 && settling() <= 0) return;
        const before = seen;
        try {
          await this.look(signal);
          failures = 0;
        } catch {
          signal.throwIfAborted();
          failures++; // the poll tells of it
        }
        if (seen !== before) return;
      }
    },
  };
}

function isSame(before: readonly ServiceRead[] | undefined, now: readonly ServiceRead[]): boolean {
  return (
    before?.length === now.length &&
    now.every((one, at) => {
      const other = before[at];
      return one.state === "ok" && other?.state === "ok" && one.service === other.service;
    })
  );
}
