import { setImmediate as turnOfLoop } from "node:timers/promises";
import type { Steps } from "../plan/steps.ts";

/** What DNS answers, the Lease and health checks can wait for without anyone noticing. */
const TURN_MS = 10;

/**
 * Go through all steps, and let the event loop turn after every 10 ms.
 *
 * @throws When `signal` aborts.
 */
export async function inTurns<Result>(steps: Steps<Result>, signal: AbortSignal): Promise<Result> {
  for (;;) {
    for (const endMs = performance.now() + TURN_MS; performance.now() < endMs; ) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
    await turnOfLoop();
    signal.throwIfAborted();
  }
}
