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

/** Pushes of one event come closer together. */
const QUIET_MS = 250;
/** Of losses that go on and on. */
const MOST_MS = 2000;

/** @param settlingMs for how long a server may lack what is registered */
export function heldBack(nowMs: () => number, settlingMs: () => number): HeldBack {
  const losses = createChanges();
  /** The first and the last loss that has not been told. */
  let untold: { readonly firstMs: number; readonly lastMs: number } | undefined;
  let isSettling = false;
  const gatheringMs = ({ firstMs, lastMs }: NonNullable<typeof untold>) =>
    Math.min(firstMs + MOST_MS, lastMs + QUIET_MS) - nowMs();
  return {
    lost() {
      untold = { firstMs: untold?.firstMs ?? nowMs(), lastMs: nowMs() };
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
