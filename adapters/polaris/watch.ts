import { setTimeout as sleep } from "node:timers/promises";
import { backOffMs } from "../../src/async/back-off.ts";
import { each } from "../../src/async/each.ts";
import { ReadError } from "../../src/errors.ts";
import type { Catalog } from "./catalog.ts";
import type { Entry } from "./entry.ts";

/** Questions per second, over the whole registry: some five percent of a core. */
const MOST_PER_SECOND = 500;
/** A service that changed so lately is asked for in every interval. */
const HOT_MS = 5 * 60_000;
/** The rest of the questions is for what has not changed for long. */
const HOT_SHARE = 0.8;
/** An interval is cut into so many steps, so that questions do not come all at once. */
const STEPS = 10;
const LEAST_STEP_MS = 50;
/** Wait so long at most before asking again for what could not be read. */
const LONGEST_PAUSE_MS = 60_000;
/** While nothing answers, one question is asked so often: a server that is back is seen within this time. */
const LONGEST_OUTAGE_PAUSE_MS = 5000;
/** So many failures in a row mean that nothing answers. */
const MOST_FAILURES = 5;

/** How the catalog is watched. */
export interface WatchOptions {
  readonly intervalMs: number;
  readonly maxInFlight: number;
  readonly perSecond?: number;
}

/**
 * Asks, between two polls, whether something has changed: what changed lately in every interval, the rest in turn; and verifies
 * meanwhile.
 */
export interface Watch {
  /** Resolve when the catalog differs from what it was at `version`; reject when `signal` aborts. Failures are only slept over. */
  until(version: number, signal: AbortSignal): Promise<void>;
  /** Whether somebody has waited since this was asked the last time. */
  wasUsed(): boolean;
}

/** Watches from where it stopped the last time. */
export function watch(catalog: Catalog, options: WatchOptions): Watch {
  const until = asking(catalog, options);
  let isUsed = false;
  return {
    wasUsed() {
      const was = isUsed;
      isUsed = false;
      return was;
    },
    async until(version, signal) {
      isUsed = true;
      signal.throwIfAborted();
      if (catalog.version() === version) await whileVerifying(catalog, () => until(version, signal), signal);
    },
  };
}

function asking(
  catalog: Catalog,
  { intervalMs, maxInFlight, perSecond = MOST_PER_SECOND }: WatchOptions,
): Watch["until"] {
  const stepMs = Math.max(LEAST_STEP_MS, intervalMs / STEPS);
  const perStep = Math.max(1, Math.floor((perSecond * stepMs) / 1000));
  let listsDueMs = 0;
  let failures = 0;
  let cursor = 0;
  /** Something answered again after nothing had. What failed before says nothing of a name. */
  let recoveredAtMs = 0;

  /** Names whose turn it is: those that changed lately or were never read, and the others one after the other. */
  function due(nowMs: number): readonly Entry[] {
    const all = [...catalog.entries.values()];
    const isDue = (entry: Entry) => !entry.isBeingAsked && nowMs - entry.askedAtMs >= pauseMs(entry);
    const isHot = (entry: Entry) => nowMs - entry.changedAtMs < HOT_MS || entry.content === undefined;
    const turn = all.filter((entry) => isHot(entry) && isDue(entry)).slice(0, Math.ceil(perStep * HOT_SHARE));
    for (let seen = 0; seen < all.length && turn.length < perStep; seen++) {
      const entry = all[cursor++ % all.length];
      if (entry !== undefined && !isHot(entry) && isDue(entry)) turn.push(entry);
    }
    cursor %= Math.max(1, all.length);
    return turn;
  }

  function pauseMs({ failures: failed, askedAtMs }: Entry): number {
    return failed === 0 || askedAtMs < recoveredAtMs
      ? intervalMs
      : Math.max(intervalMs, backOffMs(failed + 1, { firstMs: intervalMs, mostMs: LONGEST_PAUSE_MS }));
  }

  async function step(signal: AbortSignal): Promise<void> {
    const nowMs = performance.now();
    if (nowMs >= listsDueMs) {
      listsDueMs = nowMs + intervalMs;
      await ignoringFailures(() => catalog.pollLists(signal), signal);
    }
    await each(due(nowMs), maxInFlight, (entry) => ignoringFailures(() => askAgain(entry, signal), signal, entry));
  }

  async function askAgain(entry: Entry, signal: AbortSignal): Promise<void> {
    const { listed } = await catalog.askAgain(entry, signal);
    if (!listed) listsDueMs = 0;
  }

  /** A failure here proves nothing: the next poll will tell. */
  async function ignoringFailures(action: () => Promise<void>, signal: AbortSignal, entry?: Entry): Promise<void> {
    if (failures >= MOST_FAILURES) return;
    try {
      await action();
      if (failures >= MOST_FAILURES - 1) recoveredAtMs = performance.now();
      failures = 0;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ReadError)) throw error;
      if (entry?.failure === undefined) failures++;
      else entry.failures++;
    }
  }

  async function until(version: number, signal: AbortSignal): Promise<void> {
    let restMs = 0;
    while (catalog.version() === version) {
      await sleep(stepMs + restMs, undefined, { signal });
      await step(signal);
      signal.throwIfAborted();
      restMs = failures < MOST_FAILURES ? 0 : Math.min(restMs * 2 + intervalMs, LONGEST_OUTAGE_PAUSE_MS);
      if (restMs > 0) failures = MOST_FAILURES - 1; // one question after the pause shows whether it is over
    }
  }

  return until;
}

async function whileVerifying(catalog: Catalog, action: () => Promise<void>, signal: AbortSignal): Promise<void> {
  const end = new AbortController();
  const onAbort = () => end.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const verifying = catalog.verify(end.signal);
  try {
    await action();
  } finally {
    signal.removeEventListener("abort", onAbort);
    end.abort();
    await verifying;
  }
}
