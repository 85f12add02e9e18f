/** What an entry weighs besides its key and value. */
const OVERHEAD_BYTES = 400;

/** Values by text, in bounded memory. */
export interface Cache<Value> {
  get(key: string): Value | undefined;
  /** Set a value of `bytes` octets. What was not asked for lately makes room. */
  put(key: string, value: Value, bytes: number): void;
  bytes(): number;
  size(): number;
}

/** A cache of at most `maxBytes`. An entry that was asked for since it last came up for removal stays for another round. */
export function boundedCache<Value>(maxBytes: number): Cache<Value> {
  const entries = new Map<string, { readonly value: Value; readonly bytes: number; isUsed: boolean }>();
  let total = 0;

  function remove(key: string): void {
    total -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  function makeRoom(): void {
    for (const [key, entry] of entries) {
      if (total <= maxBytes) return;
      const { isUsed } = entry;
      entries.delete(key);
      entry.isUsed = false;
      if (isUsed) entries.set(key, entry);
      else total -= entry.bytes;
    }
  }

  return {
    get(key) {
      const entry = entries.get(key);
      if (entry !== undefined) entry.isUsed = true;
      return entry?.value;
    },
    put(key, value, valueBytes) {
      const bytes = valueBytes + key.length + OVERHEAD_BYTES;
      remove(key);
      if (bytes > maxBytes) return;
      entries.set(key, { value, bytes, isUsed: false });
      total += bytes;
      makeRoom();
    },
    bytes: () => total,
    size: () => entries.size,
  };
}
