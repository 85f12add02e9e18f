import { pause } from "../../src/async/back-off.ts";
import { createChanges } from "../../src/async/changes.ts";
import { firstOf } from "../../src/async/loop.ts";

/**
 * What snapshots hold back for a while: what a server that was away may lack, and losses that may be parts of a greater one. A client that
 * breaks empties hundreds of services within half a second, one push each, and what decides whether so much can be true has to see it
 * together. Mostly it comes back: what was emptied together is given the time for that, which costs callers nothing.
 */
export interface HeldBack {
  /** A service has lost endpoints just now, or all of them. */
  lost(isEmptied: boolean): void;
  /** What a snapshot that is made now has to hold back. */
  look(): Look;
  /** Resolves when what the last snapshot held back, or the next one would, may be told; or rejects when the signal aborts. */
  ripe(signal: AbortSignal): Promise<void>;
}

/** What is held back. */
export interface Look {
  /** Losses of any kind. */
  readonly isGathering: boolean;
  /** Services that lost all endpoints together. */
  readonly isReturning: boolean;
  /** Whether something is told now that was held back before. */
  readonly isOver: boolean;
}

/** After a loss that is alone so far and leaves endpoints: these must not be called for long. */
const ALONE_MS = 250;
/** After any other, as a busy server stops for some hundred milliseconds among the pushes of one event. */
const SEVERAL_MS = 1000;
/** Of losses that go on and on. */
const MOST_MS = 3000;
/** Clients try to connect every 5 s at most, and register anew every 3 s. */
const RETURN_MS = 10_000;
/** Of clients that break again and again. */
const MOST_RETURN_MS = 30_000;

/** Losses that have not been told. */
interface Untold {
  readonly firstMs: number;
  readonly lastMs: number;
  readonly count: number;
  readonly emptied: number;
}

/** @param settlingMs for how long a server may lack what is registered */
export function heldBack(nowMs: () => number, settlingMs: () => number): HeldBack {
  const losses = createChanges();
  let untold: Untold | undefined;
  let isSettling = false;
  let isReturning = false;
  let returnsSinceMs = Number.NEGATIVE_INFINITY;
  let returnedAtMs = Number.NEGATIVE_INFINITY;
  const gatheringMs = ({ firstMs, lastMs, count, emptied }: Untold) =>
    Math.min(firstMs + MOST_MS, lastMs + (count > 1 || emptied > 0 ? SEVERAL_MS : ALONE_MS)) - nowMs();
  return {
    lost(isEmptied) {
      const { firstMs = nowMs(), count = 0, emptied = 0 } = untold ?? {};
      untold = { firstMs, lastMs: nowMs(), count: count + 1, emptied: emptied + (isEmptied ? 1 : 0) };
      losses.notify();
    },
    look() {
      const before = { wasLoss: untold !== undefined, wasReturning: isReturning };
      isSettling = settlingMs() > 0;
      const isGathering = untold !== undefined && gatheringMs(untold) > 0;
      if (untold !== undefined && !isGathering) {
        if (untold.emptied > 1) {
          if (untold.firstMs >= returnedAtMs) returnsSinceMs = untold.firstMs;
          returnedAtMs = Math.min(untold.lastMs + RETURN_MS, returnsSinceMs + MOST_RETURN_MS);
        }
        untold = undefined;
      }
      isReturning = nowMs() < returnedAtMs;
      const isOver = (before.wasLoss && !isGathering) || (before.wasReturning && !isReturning);
      return { isGathering, isReturning, isOver };
    },
    async ripe(signal) {
      for (;;) {
        const known = losses.version();
        const waits = [
          ...(untold === undefined ? [] : [gatheringMs(untold)]),
          ...(isReturning ? [returnedAtMs - nowMs()] : []),
          ...(isSettling ? [settlingMs()] : []),
        ];
        if (waits.some((ms) => ms <= 0)) return;
        // A loss that comes meanwhile may be to be told before.
        await (waits.length === 0
          ? losses.wait(known, signal)
          : firstOf(
              signal,
              (inner) => losses.wait(known, inner),
              (inner) => pause(Math.min(...waits), inner),
            ));
        signal.throwIfAborted();
      }
    },
  };
}
