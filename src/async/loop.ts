import { backOff } from "./back-off.ts";

export interface LoopOptions {
  readonly signal: AbortSignal;
  /** `failures` counts failures in a row. */
  readonly onFailure: (error: unknown, failures: number) => void;
  /** Resolve when the next turn is due; `failures` is 0 after a success. */
  readonly nextTurn: (failures: number, signal: AbortSignal) => Promise<void>;
}

/** Run `turn`, one at a time, until `signal` aborts. Resolves after the running turn has ended. */
export async function loop(turn: (signal: AbortSignal) => Promise<void>, options: LoopOptions): Promise<void> {
  const { signal, onFailure, nextTurn } = options;
  let failures = 0;
  while (!signal.aborted) {
    try {
      await turn(signal);
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      onFailure(error, ++failures);
    }
    try {
      await nextTurn(failures, signal);
    } catch (error) {
      if (signal.aborted) return;
      // A wait that breaks must not end the loop, nor make it spin.
      onFailure(error, ++failures);
      await backOff(failures, signal).catch(() => undefined);
    }
  }
}

/** Resolve when the first of `waits` does, and call the others off. Rejects when `signal` aborts. */
export async function firstOf(
  signal: AbortSignal,
  ...waits: ((signal: AbortSignal) => Promise<unknown>)[]
): Promise<void> {
  const done = new AbortController();
  const inner = AbortSignal.any([signal, done.signal]);
  const running = waits.map((wait) => wait(inner));
  try {
    await Promise.race(running);
  } finally {
    done.abort();
    await Promise.allSettled(running);
  }
}
