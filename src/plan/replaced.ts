/**
 * A map with other values for some of its keys. `base` stays as it is, and is not copied while few keys have other values: who
 * holds a decision goes on seeing that decision.
 *
 * @param changes keys that `base` has, with their new values
 */
export function replaced<Key, Value>(
  base: ReadonlyMap<Key, Value>,
  changes: ReadonlyMap<Key, Value>,
): ReadonlyMap<Key, Value> {
  if (changes.size === 0) return base;
  const layers = (base as Layered<Key, Value>)[LAYERS];
  const below = layers?.base ?? base;
  const all = layers === undefined ? changes : new Map([...layers.changes, ...changes]);
  if (all.size * COPY_FROM > below.size) {
    const copy = new Map(below);
    for (const [key, value] of all) copy.set(key, value);
    return copy;
  }
  return viewOf(below, all);
}

/** From one changed key in so many on a copy is cheaper. */
const COPY_FROM = 16;

interface Layers<Key, Value> {
  readonly base: ReadonlyMap<Key, Value>;
  readonly changes: ReadonlyMap<Key, Value>;
}

/** What a view is made of, so that views are not piled up. */
const LAYERS = Symbol("layers");

interface Layered<Key, Value> extends ReadonlyMap<Key, Value> {
  readonly [LAYERS]?: Layers<Key, Value>;
}

function viewOf<Key, Value>(base: ReadonlyMap<Key, Value>, changes: ReadonlyMap<Key, Value>): ReadonlyMap<Key, Value> {
  function* entries(): MapIterator<[Key, Value]> {
    for (const [key, value] of base) yield [key, changes.has(key) ? (changes.get(key) as Value) : value];
  }
  function* values(): MapIterator<Value> {
    for (const [, value] of entries()) yield value;
  }
  const view: Layered<Key, Value> = {
    [LAYERS]: { base, changes },
    size: base.size,
    has: (key) => base.has(key),
    get: (key) => (changes.has(key) ? changes.get(key) : base.get(key)),
    keys: () => base.keys(),
    values,
    entries,
    [Symbol.iterator]: entries,
    forEach(visit, self) {
      for (const [key, value] of entries()) visit.call(self, value, key, view);
    },
  };
  return view;
}
