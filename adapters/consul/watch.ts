import { setTimeout as sleep } from "node:timers/promises";
import { backOff } from "../../src/async/back-off.ts";
import { ReadError } from "../../src/errors.ts";
import type { Answer } from "./client/request.ts";

/** After a failure. */
export const PAUSE = { firstMs: 500, mostMs: 30_000 };
/** So many changes in a row are taken as they come, further ones at the interval. */
const BURST = 10;
const INTERVAL_MS = 250;

/** One thing to wait for, again and again. */
export interface WatchOptions<Result> {
  /** Ask for what has changed since `index`; `undefined` asks for what there is. */
  readonly ask: (index: number | undefined, signal: AbortSignal) => Promise<Answer<Result>>;
  /** How long an answer takes at most while nothing changes. */
  readonly waitMs: number;
  /** The index of what is known; 0 when nothing is. */
  readonly index: () => number;
  /** Take in a change. @throws When it cannot be: a failure like that of an answer that did not come. */
  readonly onChange: (answer: Answer<Result>, signal: AbortSignal) => Promise<void> | void;
  /** The index went backwards, as after a restart or a restore: the answer is not taken in. */
  readonly onBackwards: () => void;
  /** Told of each failure; false ends the watch. */
  readonly onFailure?: (error: unknown) => boolean;
}

/**
 * Ask with blocking queries until `signal` aborts, and rest longer after each failure in a row.
 *
 * @see https://developer.hashicorp.com/consul/api-docs/features/blocking: what a client has to do about indexes
 */
export async function watch<Result>(options: WatchOptions<Result>, signal: AbortSignal): Promise<void> {
  const pace = paceOf(BURST, INTERVAL_MS);
  let failures = 0;
  let isOdd = false;
  while (!signal.aborted) {
    try {
      const from = options.index();
      const isWaiting: boolean = from !== 0 && failures === 0 && !isOdd;
      const askedMs = performance.now();
      const answer = await options.ask(isWaiting ? from : undefined, signal);
      if (answer.index === 0) throw new ReadError("answer", "has no index to wait on");
      // A restore ends all waits at once, and with the indexes of before: what is there now only a plain query tells.
      isOdd = isWaiting && answer.index === from && performance.now() - askedMs < options.waitMs / 2;
      if (isOdd) await pace(signal);
      if (isWaiting && answer.index === from) continue; // without waiting, an equal index may be another Consul's
      if (answer.index < from) {
        // What a leader says that has just begun may be half of it: a poll is to ask surely, and to wait for this index is vain.
        isOdd = true;
        options.onBackwards();
      } else await options.onChange(answer, signal);
      failures = 0;
      await pace(signal);
    } catch (error) {
      if (signal.aborted || options.onFailure?.(error) === false) return;
      await backOff(++failures, signal, PAUSE).catch(() => {});
    }
  }
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
