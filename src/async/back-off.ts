import { setTimeout as delay } from "node:timers/promises";

export interface BackOff {
  /** After the first failure. Default 250. */
  readonly firstMs?: number;
  /** Default 30,000. */
  readonly mostMs?: number;
}

/** Milliseconds that double with each failure in a row. */
export function backOffMs(failures: number, { firstMs = 250, mostMs = 30_000 }: BackOff = {}): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 20));
}

/** Between half and all of `ms`, so that replicas do not come back at once. */
export function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}

/** Wait before the next try. Rejects when `signal` aborts. */
export async function backOff(failures: number, signal: AbortSignal, options?: BackOff): Promise<void> {
  await delay(jittered(backOffMs(failures, options)), undefined, { signal });
}

/** Wait; returns early, without throwing, when `signal` aborts. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}
