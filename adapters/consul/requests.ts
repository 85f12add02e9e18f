/**
 * Do `action` for every item, at most `most` at once.
 *
 * @throws What an action throws first; no further one is begun then.
 */
export async function each<Item>(
  items: Iterable<Item>,
  most: number,
  action: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  let ended = false;
  async function worker(): Promise<void> {
    for (let next = rest.next(); next.done !== true && !ended; next = rest.next()) {
      try {
        await action(next.value);
      } catch (error) {
        ended = true;
        throw error;
      }
    }
  }
  await Promise.all(Array.from({ length: most }, worker));
}

/** Lets so many actions run at once; the others wait for their turn. */
export type Gate = <Result>(action: () => Promise<Result>, signal: AbortSignal) => Promise<Result>;

/** A gate for `most` actions. */
export function gate(most: number): Gate {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (action, signal) => {
    while (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    signal.throwIfAborted();
    running++;
    try {
      return await action();
    } finally {
      running--;
      waiting.shift()?.();
    }
  };
}
