import { setImmediate as turnOfLoop } from "node:timers/promises";
import type { Sliced } from "./slices.ts";

/** What DNS answers, the Lease and health checks can wait for without anyone noticing. */
const TURN_MS = 10;

/**
 * Compute all slices, and yield to the event loop after every 10 ms.
 *
 * @throws When `signal` aborts.
 */
export async function yielding<Result>(sliced: Sliced<Result>, signal: AbortSignal): Promise<Result> {
  for (;;) {
    for (const endMs = performance.now() + TURN_MS; performance.now() < endMs; ) {
      const { done, value } = sliced.next();
      if (done === true) return value;
    }
    await turnOfLoop();
    signal.throwIfAborted();
  }
}
