import { backOff } from "../../async/back-off.ts";
import type { Log } from "../../log.ts";
import type { Target } from "../../model/target.ts";

/** Read the target for the first time, again and again until it can be; false when told to stop. */
export async function startTarget(target: Target, signal: AbortSignal, log: Log): Promise<boolean> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      await target.start({ watch: true, signal });
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      log.error({ error }, "the target cannot be read; it is tried again");
      await backOff(failures, signal).catch(() => undefined);
    }
  }
  return false;
}
