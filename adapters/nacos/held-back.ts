import { pause } from "../../src/async/back-off.ts";
import { createChanges } from "../../src/async/changes.ts";
import { lossGather } from "./gather.ts";

/** What snapshots hold back for a while: losses that may be parts of a greater one, and what a server that was away may lack. */
export interface HeldBack {
  /** A service has lost endpoints just now. */
  lost(): void;
  /** What a snapshot that is made now has to hold back, and whether it tells losses that were. */
  look(): { readonly isGathering: boolean; readonly wasLoss: boolean };
  /** Resolves when what the last snapshot held back, or the next one would, may be told; or rejects when the signal aborts. */
  ripe(signal: AbortSignal): Promise<void>;
}

/** @param settlingMs for how long a server may lack what is registered */
export function heldBack(nowMs: () => number, settlingMs: () => number): HeldBack {
  const gather = lossGather(nowMs);
  const losses = createChanges();
  let isLoss = false;
  let isSettling = false;
  return {
    lost() {
      isLoss = true;
      gather.lost();
      losses.notify();
    },
    look() {
      const isGathering = gather.waitMs() > 0;
      const wasLoss = isLoss && !isGathering;
      isLoss &&= isGathering;
      isSettling = settlingMs() > 0;
      return { isGathering, wasLoss };
    },
    async ripe(signal) {
      for (;;) {
        const known = losses.version();
        const waits = [...(isLoss ? [gather.waitMs()] : []), ...(isSettling ? [settlingMs()] : [])];
        if (waits.some((ms) => ms <= 0)) return;
        if (waits.length === 0) await losses.wait(known, signal);
        else await pause(Math.min(...waits), signal);
        signal.throwIfAborted();
      }
    },
  };
}
