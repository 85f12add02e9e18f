/** Entries start at multiples of this many octets. */
const UNIT_BYTES = 16;
/** Units of a chunk of memory; a unit's number has its place in the chunk in its lower 16 bits. */
const CHUNK_UNITS = 1 << 16;
/** Length of the key, length of the value (2 octets). */
const HEAD_BYTES = 3;

/**
 * Entries of a key and a value, in chunks of 1 MiB outside of the garbage collector's heap. An entry is known by the number of its first
 * unit. What a released entry took is used again, whole or in part.
 */
export interface EntryHeap {
  readonly chunks: Uint8Array[];
  /** By units, starts of free stretches. */
  readonly free: number[][];
  /** Unit that is free from here to the end of the last chunk. */
  fresh: number;
}

/** Where a value lies. It is moved by the next lookup, and not valid after the next change. */
export interface Cursor {
  bytes: Uint8Array;
  /** Offset of the value's first octet in `bytes`. */
  at: number;
}

/** A heap without entries. */
export function entryHeap(): EntryHeap {
  return { chunks: [], free: [], fresh: 0 };
}

/** Add an entry; gives its unit. */
export function addEntry(heap: EntryHeap, key: Uint8Array, value: Uint8Array): number {
  const unit = allocate(heap, unitsFor(key.length, value.length));
  writeEntry(heap, unit, key, value);
  return unit;
}

/** Write over an entry with the same key in its place; false, and nothing done, if the value takes another number of units. */
export function rewriteEntry(heap: EntryHeap, unit: number, key: Uint8Array, value: Uint8Array): boolean {
  if (unitsOf(heap, unit) !== unitsFor(key.length, value.length)) return false;
  writeEntry(heap, unit, key, value);
  return true;
}

/** Give up an entry. */
export function releaseEntry(heap: EntryHeap, unit: number): void {
  release(heap, unit, unitsOf(heap, unit));
}

/** Whether an entry's key is what stands in `bytes` from `start` to `end`, ASCII letters there in any case. */
export function hasKey(heap: EntryHeap, unit: number, bytes: Uint8Array, start: number, end: number): boolean {
  const chunk = heap.chunks[unit >>> 16] as Uint8Array;
  const head = (unit & 0xffff) * UNIT_BYTES;
  if (chunk[head] !== end - start) return false;
  for (let at = start, own = head + HEAD_BYTES; at < end; at++, own++) {
    const octet = bytes[at] as number;
    if (octet === chunk[own]) continue;
    if (octet < 0x41 || octet > 0x5a || (octet | 0x20) !== chunk[own]) return false;
  }
  return true;
}

/** Lead `cursor` to the value of an entry whose key has `keyBytes` octets. */
export function pointTo(heap: EntryHeap, unit: number, keyBytes: number, cursor: Cursor): void {
  cursor.bytes = heap.chunks[unit >>> 16] as Uint8Array;
  cursor.at = (unit & 0xffff) * UNIT_BYTES + HEAD_BYTES + keyBytes;
}

/** Octets taken, free ones included. */
export function heapBytes({ chunks }: EntryHeap): number {
  return chunks.length * CHUNK_UNITS * UNIT_BYTES;
}

function allocate(heap: EntryHeap, units: number): number {
  const { chunks, free } = heap;
  for (let room = units; room < free.length; room++) {
    const unit = free[room]?.pop();
    if (unit === undefined) continue;
    if (room > units) release(heap, unit + units, room - units);
    return unit;
  }
  const left = chunks.length * CHUNK_UNITS - heap.fresh;
  if (left < units) {
    if (left > 0) release(heap, heap.fresh, left);
    heap.fresh = chunks.length * CHUNK_UNITS;
    chunks.push(new Uint8Array(CHUNK_UNITS * UNIT_BYTES));
  }
  heap.fresh += units;
  return heap.fresh - units;
}

function release({ free }: EntryHeap, unit: number, units: number): void {
  for (let at = free.length; at <= units; at++) free.push([]);
  free[units]?.push(unit);
}

function unitsOf({ chunks }: EntryHeap, unit: number): number {
  const chunk = chunks[unit >>> 16] as Uint8Array;
  const head = (unit & 0xffff) * UNIT_BYTES;
  const valueBytes = ((chunk[head + 1] as number) << 8) | (chunk[head + 2] as number);
  return unitsFor(chunk[head] as number, valueBytes);
}

function unitsFor(keyBytes: number, valueBytes: number): number {
  return Math.ceil((HEAD_BYTES + keyBytes + valueBytes) / UNIT_BYTES);
}

function writeEntry({ chunks }: EntryHeap, unit: number, key: Uint8Array, value: Uint8Array): void {
  const chunk = chunks[unit >>> 16] as Uint8Array;
  const head = (unit & 0xffff) * UNIT_BYTES;
  chunk[head] = key.length;
  chunk[head + 1] = value.length >> 8;
  chunk[head + 2] = value.length & 0xff;
  chunk.set(key, head + HEAD_BYTES);
  chunk.set(value, head + HEAD_BYTES + key.length);
}
