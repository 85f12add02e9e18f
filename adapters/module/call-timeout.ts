import { setTimeout as delay } from "node:timers/promises";
import { ReadError } from "../../src/errors.ts";

/** Calls a function that may not end, one call at a time. */
export interface CallTimeout {
  /**
   * The result of `call`, whose signal aborts with `signal` and after `timeoutMs`. Waits for the call before to end.
   *
   * @throws The signal's reason as soon as it aborts, whether `call` obeys or not; a ReadError at the timeout.
   */
  during<Result>(
    signal: AbortSignal,
    timeoutMs: number | undefined,
    call: (inner: AbortSignal) => Promise<Result>,
  ): Promise<Result>;
}

/** How often a call that does not end though it was told to is checked. */
const CHECK_MS = 100;

/** `method` is the call's name in messages. */
export function callTimeout(method: string): CallTimeout {
  let isUnderWay = false;

  async function during<Result>(
    signal: AbortSignal,
    timeoutMs: number | undefined,
    call: (inner: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    signal.throwIfAborted();
    const inner = new AbortController();
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const stop = (reason: unknown) => {
      inner.abort(reason);
      reject(reason);
    };
    const onAbort = () => stop(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const onTimeout = () => stop(new ReadError("timeout", `its ${method} did not end within ${timeoutMs} ms`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs);
    const called = inTurn(inner.signal, call);
    try {
      return await Promise.race([called, aborted]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      called.catch(() => undefined); // what a call says that nobody waits for any more
      aborted.catch(() => undefined);
    }
  }

  async function inTurn<Result>(signal: AbortSignal, call: (inner: AbortSignal) => Promise<Result>): Promise<Result> {
    while (isUnderWay) await delay(CHECK_MS, undefined, { signal });
    isUnderWay = true;
    try {
      return await call(signal);
    } finally {
      isUnderWay = false;
    }
  }

  return { during };
}
