import { setTimeout as sleep } from "node:timers/promises";
import { ReadError } from "../../src/errors.ts";
import type { Answer } from "./client.ts";

const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** So many changes in a row are taken as they come, further ones at the interval. */
const BURST = 10;
const INTERVAL_MS = 250;

/** One thing to wait for, again and again. */
export interface WatchOptions {
  /** Ask for what has changed since `index`; `undefined` asks for what there is. */
  readonly ask: (index: number | undefined, signal: AbortSignal) => Promise<Answer>;
  /** The index of what is known; 0 when nothing is. */
  readonly index: () => number;
  /** Take in a change. */
  readonly onChange: (answer: Answer, signal: AbortSignal) => Promise<void> | void;
  /** The index went backwards, as after a restart or a restore. Told before `onChange`. */
  readonly onBackwards: () => void;
  /** Told of each failure; false ends the watch. */
  readonly onFailure?: (error: unknown) => boolean;
}

/**
 * Ask with blocking queries until `signal` aborts, and rest longer after each failure in a row.
 *
 * @see https://developer.hashicorp.com/consul/api-docs/features/blocking: what a client has to do about indexes
 */
export async function watch(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const pace = paceOf(BURST, INTERVAL_MS);
  let failures = 0;
  while (!signal.aborted) {
    try {
      const from = options.index();
      const answer = await options.ask(from === 0 || failures > 0 ? undefined : from, signal);
      if (answer.index === 0) throw new ReadError("answer", "has no index to wait on");
      failures = 0;
      if (answer.index === from) continue;
      if (answer.index < from) options.onBackwards();
      await options.onChange(answer, signal);
      await pace(signal);
    } catch (error) {
      if (signal.aborted || options.onFailure?.(error) === false) return;
      await rest(++failures, signal).catch(() => {});
    }
  }
}

/** Wait after so many failures in a row, not as long as everyone else. */
export function rest(failures: number, signal: AbortSignal): Promise<void> {
  const ms = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures - 1, 16));
  return sleep(ms * (0.5 + Math.random() / 2), undefined, { signal });
}

function paceOf(burst: number, intervalMs: number): (signal: AbortSignal) => Promise<void> {
  let left = burst;
  let at = performance.now();
  return async (signal) => {
    const now = performance.now();
    left = Math.min(burst, left + (now - at) / intervalMs) - 1;
    at = now;
    if (left < 0) await sleep(-left * intervalMs, undefined, { signal });
  };
}
