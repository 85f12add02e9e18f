import { backOff, pause } from "../../src/async/back-off.ts";
import { firstOf } from "../../src/async/loop.ts";
import type { Namespace } from "./namespace.ts";

/** A server that is back is seen within this time. */
const MOST_BACK_OFF_MS = 5000;

/**
 * Look at the lists of a namespace again and again, and make another connection whenever one has ended, until the signal aborts. Failures are
 * told by polls.
 *
 * @throws The signal's reason.
 */
export async function keepWatch(space: Namespace, intervalMs: number, signal: AbortSignal): Promise<never> {
  for (let failures = 0; ; ) {
    if (failures > 0) await backOff(failures, signal, { mostMs: MOST_BACK_OFF_MS });
    else await firstOf(signal, space.ended, (inner) => pause(intervalMs, inner));
    signal.throwIfAborted();
    try {
      await space.recover(signal);
      failures = 0;
      await space.look(signal).catch(() => signal.throwIfAborted());
    } catch {
      signal.throwIfAborted();
      failures++;
    }
  }
}
