import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds to wait after the n-th failure in a row: doubling, with jitter so that replicas do not come back at once. */
export function backoffMs(failures: number, baseMs: number, maxMs: number): number {
  const fullMs = Math.min(maxMs, baseMs * 2 ** Math.min(failures - 1, 20));
  return fullMs * (0.5 + Math.random() / 2);
}

/** Wait; returns early, without throwing, when `signal` aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
