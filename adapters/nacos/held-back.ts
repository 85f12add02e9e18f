import { pause } from "../../src/async/back-off.ts";
import { createChanges } from "../../src/async/changes.ts";

/**
 * What snapshots hold back for a while: what a server that was away may lack, and losses that may be parts of a greater one. A client that
 * breaks empties hundreds of services within half a second, one push each, and what decides whether so much can be true has to see it
 * together.
 */
export interface HeldBack {
  /** A service has lost endpoints just now. */
  lost(): void;
  /** What a snapshot that is made now has to hold back, and whether it tells losses that were. */
  look(): { readonly isGathering: boolean; readonly wasLoss: boolean };
  /** Resolves when what the last snapshot held back, or the next one would, may be told; or rejects when the signal aborts. */
  ripe(signal: AbortSignal): Promise<void>;
}

/** After a loss that is alone so far. Pushes of one event come closer together. */
const ALONE_MS = 250;
/** After one of several: a busy server stops for some hundred milliseconds among the pushes of one event. */
const SEVERAL_MS = 1000;
/** Of losses that go on and on. */
const MOST_MS = 3000;

/** @param settlingMs for how long a server may lack what is registered */
export function heldBack(nowMs: () => number, settlingMs: () => number): HeldBack {
  const losses = createChanges();
  /** The losses that have not been told. */
  let untold: { readonly firstMs: number; readonly lastMs: number; readonly count: number } | undefined;
  let isSettling = false;
  const gatheringMs = ({ firstMs, lastMs, count }: NonNullable<typeof untold>) =>
    Math.min(firstMs + MOST_MS, lastMs + (count > 1 ? SEVERAL_MS : ALONE_MS)) - nowMs();
  return {
    lost() {
      const { firstMs = nowMs(), count = 0 } = untold ?? {};
      untold = { firstMs, lastMs: nowMs(), count: count + 1 };
      losses.notify();
    },
    look() {
      isSettling = settlingMs() > 0;
      if (untold === undefined) return { isGathering: false, wasLoss: false };
      const isGathering = gatheringMs(untold) > 0;
      if (!isGathering) untold = undefined;
      return { isGathering, wasLoss: !isGathering };
    },
    async ripe(signal) {
      for (;;) {
        const known = losses.version();
        const waits = [...(untold === undefined ? [] : [gatheringMs(untold)]), ...(isSettling ? [settlingMs()] : [])];
        if (waits.some((ms) => ms <= 0)) return;
        if (waits.length === 0) await losses.wait(known, signal);
        else await pause(Math.min(...waits), signal);
        signal.throwIfAborted();
      }
    },
  };
}
