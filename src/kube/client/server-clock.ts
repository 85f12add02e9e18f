/** The API server's time, carried on by this machine's monotonic clock. */
export interface ServerClock {
  /** Take in the `Date` header of an answer that has just come. */
  observe(dateHeader: string | undefined): void;
  /** Milliseconds since the epoch; by this machine's clock until the first answer. */
  nowMs(): number;
}

/** A `Date` header is cut to whole seconds, and replicas of the API server differ a little. */
const TOLERANCE_MS = 3000;
/** A time that differs by more is believed once all answers have agreed on it for so long: one replica's clock may be wrong. */
const DOUBT_MS = 30_000;

/**
 * Follow the clock of the API server, to within about a second.
 *
 * @param monotonicMs Never goes back, as performance.now().
 */
export function serverClock(monotonicMs: () => number = () => performance.now()): ServerClock {
  let offsetMs: number | undefined;
  let lastHeader: string | undefined;
  let jump: { readonly offsetMs: number; readonly sinceMs: number } | undefined;

  function doubt(seenMs: number, atMs: number): void {
    const agrees = jump !== undefined && Math.abs(seenMs - jump.offsetMs) <= TOLERANCE_MS;
    jump =
      agrees && jump !== undefined
        ? { ...jump, offsetMs: Math.max(jump.offsetMs, seenMs) }
        : { offsetMs: seenMs, sinceMs: atMs };
    if (atMs - jump.sinceMs < DOUBT_MS) return;
    offsetMs = jump.offsetMs;
    jump = undefined;
  }

  return {
    observe(dateHeader) {
      // The same second again is a worse bound than its first sight.
      if (dateHeader === undefined || dateHeader === lastHeader) return;
      const dateMs = Date.parse(dateHeader);
      if (Number.isNaN(dateMs)) return;
      lastHeader = dateHeader;
      const atMs = monotonicMs();
      const seenMs = dateMs - atMs;
      if (offsetMs !== undefined && Math.abs(seenMs - offsetMs) > TOLERANCE_MS) return doubt(seenMs, atMs);
      jump = undefined;
      // The header is cut, so the latest offset seen is the nearest.
      offsetMs = Math.max(offsetMs ?? Number.NEGATIVE_INFINITY, seenMs);
    },
    nowMs: () => (offsetMs === undefined ? Date.now() : Math.floor(offsetMs + monotonicMs())),
  };
}
