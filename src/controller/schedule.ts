import { setTimeout as delay } from "node:timers/promises";
import { createTask } from "node-cron";

/** Node's timers take no longer waits than 24 days. */
const MOST_WAIT_MS = 86_400_000;

/**
 * Call `onDue` whenever a cron expression says, until `signal` aborts.
 *
 * The wall clock is only asked how long to wait. A clock that is set back costs nothing so, and one that is set forward at most
 * one period; node-cron's own timers would stand still until a clock that was set back has caught up.
 */
export async function runSchedule(expression: string, onDue: () => void, signal: AbortSignal): Promise<void> {
  const task = createTask(expression, () => undefined);
  try {
    while (!signal.aborted) {
      const [next] = task.getNextRuns(1);
      const waitMs = Math.max(1, (next?.getTime() ?? Number.POSITIVE_INFINITY) - Date.now());
      await delay(Math.min(waitMs, MOST_WAIT_MS), undefined, { signal });
      if (waitMs <= MOST_WAIT_MS) onDue();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await task.destroy();
  }
}
