/**
 * Do `action` for every item, at most `most` at once.
 *
 * @throws What an action throws first; no further one is begun then, and those that were have ended.
 */
export async function each<Item>(
  items: Iterable<Item>,
  most: number,
  action: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  async function worker(): Promise<void> {
    for (let next = rest.next(); next.done !== true && failure === undefined; next = rest.next()) {
      try {
        await action(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  }
  await Promise.all(Array.from({ length: most }, worker));
  if (failure !== undefined) throw failure.error;
}
