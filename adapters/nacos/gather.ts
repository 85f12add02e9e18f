/**
 * A client that breaks, or a server that restarts, empties hundreds of services within half a second, one push each. What decides
 * whether so much can be true has to see it together: losses wait until no further one has come for a moment.
 */
export interface LossGather {
  /** A service has lost endpoints just now. */
  lost(): void;
  /** For how long losses are not to be told yet; 0 when they are. */
  waitMs(): number;
}

/** Pushes of one event come closer together. */
const QUIET_MS = 250;
/** Of losses that go on and on. */
const MOST_MS = 2000;

/** @param nowMs performance.now() */
export function lossGather(nowMs: () => number): LossGather {
  let firstMs = Number.NEGATIVE_INFINITY;
  let lastMs = Number.NEGATIVE_INFINITY;
  const endMs = () => Math.min(firstMs + MOST_MS, lastMs + QUIET_MS);
  return {
    lost() {
      if (nowMs() >= endMs()) firstMs = nowMs();
      lastMs = nowMs();
    },
    waitMs: () => Math.max(0, endMs() - nowMs()),
  };
}
