import { backOff } from "../../src/async/back-off.ts";
import type { Namespace } from "./namespace.ts";

/** A server that is back is seen within this time. */
const MOST_BACK_OFF_MS = 5000;

/**
 * Make another connection of a namespace whenever one has ended, until the signal aborts. Failures are told by polls.
 *
 * @throws The signal's reason.
 */
export async function keepWatch(space: Namespace, signal: AbortSignal): Promise<never> {
  for (let failures = 0; ; ) {
    if (failures === 0) await space.ended(signal);
    else await backOff(failures, signal, { mostMs: MOST_BACK_OFF_MS });
    try {
      await space.recover(signal);
      failures = 0;
    } catch {
      signal.throwIfAborted();
      failures++;
    }
  }
}
