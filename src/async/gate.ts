/** Lets so many actions run at once; the others wait for their turn. */
export type Gate = <Result>(action: () => Promise<Result>, signal: AbortSignal) => Promise<Result>;

/** A gate for `most` actions. */
export function gate(most: number): Gate {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (action, signal) => {
    while (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    running++;
    try {
      signal.throwIfAborted(); // the turn goes on to the next then
      return await action();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
