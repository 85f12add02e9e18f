/**
 * A decision in slices: its caller may do something else between two of them. What it reads must stay as it is until it
 * has ended.
 */
export type Sliced<Result> = Generator<undefined, Result, undefined>;

/** Items in a slice: together they take well under a millisecond. */
const ITEMS = 32;

/** Visit all items, in slices. */
export function* inSlices<Item>(items: Iterable<Item>, visit: (item: Item) => void): Sliced<void> {
  let visited = 0;
  for (const item of items) {
    visit(item);
    if (++visited % ITEMS === 0) yield;
  }
}

/** Compute all slices at once. */
export function finish<Result>(sliced: Sliced<Result>): Result {
  for (;;) {
    const { done, value } = sliced.next();
    if (done === true) return value;
  }
}
