/** How answers are waited for. */
export interface FirstGoodOptions {
  /** When an attempt is no longer waited for alone. */
  readonly staggerMs: number;
  /** Whether an answer ends all attempts. */
  readonly isGood: (answer: Buffer) => boolean;
  /** Ends all attempts without an answer. */
  readonly signal?: AbortSignal | undefined;
}

/** Try one target after the other, the next when one fails or is slow; all end with the first good answer. If none is good, the last one stands. */
export function firstGood<Target>(
  targets: readonly Target[],
  attempt: (target: Target, stop: AbortSignal) => Promise<Buffer>,
  { staggerMs, isGood, signal }: FirstGoodOptions,
): Promise<Buffer | undefined> {
  const stop = new AbortController();
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  let next = 0;
  let running = 0;
  let last: Buffer | undefined;
  let timer: NodeJS.Timeout | undefined;
  if (signal?.aborted === true) return Promise.resolve(undefined);
  const giveUp = () => resolve(undefined);
  signal?.addEventListener("abort", giveUp);

  async function run(target: Target): Promise<void> {
    running++;
    const answer = await attempt(target, stop.signal).catch(() => undefined);
    running--;
    last = answer ?? last;
    if (answer !== undefined && isGood(answer)) resolve(answer);
    else if (!stop.signal.aborted) proceed();
  }

  function proceed(): void {
    clearTimeout(timer);
    const target = targets[next++];
    if (target !== undefined) {
      if (next < targets.length) timer = setTimeout(proceed, staggerMs);
      void run(target);
    } else if (running === 0) resolve(last);
  }

  proceed();
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", giveUp);
    stop.abort();
  });
}
