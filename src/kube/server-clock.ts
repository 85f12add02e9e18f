/** The API server's time, carried on by this machine's monotonic clock. */
export interface ServerClock {
  /** Take in the `Date` header of an answer that has just come. */
  observe(dateHeader: string | undefined): void;
  /** Milliseconds since the epoch; by this machine's clock until the first answer. */
  nowMs(): number;
}

/** A `Date` header is cut to whole seconds, and replicas of the API server differ a little. */
const TOLERANCE_MS = 3000;

/**
 * Follow the clock of the API server, to within about a second.
 *
 * @param monotonicMs Never goes back, as performance.now().
 */
export function serverClock(monotonicMs: () => number = () => performance.now()): ServerClock {
  let offsetMs: number | undefined;
  let lastHeader: string | undefined;
  return {
    observe(dateHeader) {
      // The same second again is a worse bound than its first sight.
      if (dateHeader === undefined || dateHeader === lastHeader) return;
      const dateMs = Date.parse(dateHeader);
      if (Number.isNaN(dateMs)) return;
      lastHeader = dateHeader;
      const seenMs = dateMs - monotonicMs();
      // The header is cut, so the latest offset seen is the nearest; only a clock that was set back lowers it.
      if (offsetMs === undefined || seenMs > offsetMs || seenMs < offsetMs - TOLERANCE_MS) offsetMs = seenMs;
    },
    nowMs: () => (offsetMs === undefined ? Date.now() : Math.floor(offsetMs + monotonicMs())),
  };
}
