import { randomInt } from "node:crypto";

/** Entries start at multiples of this many octets. */
const UNIT_BYTES = 16;
const CHUNK_UNITS = 1 << 16;
const MIN_SLOTS = 1 << 10;
const HEAD_BYTES = 3;
const FNV_PRIME = 0x01000193;

/** The largest value an entry can have, in octets. */
export const MAX_VALUE_BYTES = 4096;

/** Where a value lies. It is moved by the next `find`, and worth nothing after the next `put` or `delete`. */
export interface Cursor {
  bytes: Uint8Array;
  /** Offset of the value's first octet in `bytes`. */
  at: number;
}

/** Values of octets by names on the wire, outside of the garbage collector's heap. */
export interface ByteTable {
  readonly cursor: Cursor;
  /** Look up the name that stands in `bytes` from `start` to `end`, ASCII letters in any case; if found, `cursor` leads to its value. */
  find(bytes: Uint8Array, start: number, end: number): boolean;
  /** Set the value of `key`, a name in lower case of at most 255 octets. */
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  size(): number;
  /** Octets taken, free ones included. */
  memoryBytes(): number;
}

/**
 * A hash table with open addressing. Looking a name up touches two places in memory and makes no object, so that its cost hardly
 * grows with the number of names, and changing one entry costs the same whatever the size; only doubling the slots does not.
 *
 * Entries are `length of key, length of value (2 octets), key, value` in chunks of 1 MiB. What a deleted entry took is used again,
 * whole or in part. The hash is seeded, so that nobody can choose names that meet in one slot.
 */
export function byteTable(): ByteTable {
  const seed = randomInt(2 ** 31);
  const chunks: Uint8Array[] = [];
  /** By units, starts of free stretches. */
  const free: number[][] = [];
  /** Unit that is free from here to the end of the last chunk. */
  let fresh = 0;
  let size = 0;
  /** Pairs, so that looking at a slot is one access to memory: unit of the entry plus 1 (0 is empty), and its name's hash. */
  let slots = new Int32Array(MIN_SLOTS * 2);
  const cursor: Cursor = { bytes: new Uint8Array(0), at: 0 };

  function hashOf(bytes: Uint8Array, start: number, end: number): number {
    let hash = seed;
    // Letters of either case become alike; so do a few octets that are none, which `isAt` tells apart.
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ ((bytes[at] as number) | 0x20), FNV_PRIME);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    return hash ^ (hash >>> 13);
  }

  function slotOf(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const mask = slots.length - 2;
    for (let slot = (hash << 1) & mask; ; slot = (slot + 2) & mask) {
      const entry = slots[slot] as number;
      if (entry === 0) return -1;
      if (slots[slot + 1] === hash && isAt(entry - 1, bytes, start, end)) return slot;
    }
  }

  function isAt(unit: number, bytes: Uint8Array, start: number, end: number): boolean {
    const chunk = chunks[unit >>> 16] as Uint8Array;
    const head = (unit & 0xffff) * UNIT_BYTES;
    if (chunk[head] !== end - start) return false;
    for (let at = start, own = head + HEAD_BYTES; at < end; at++, own++) {
      const octet = bytes[at] as number;
      if (octet === chunk[own]) continue;
      if (octet < 0x41 || octet > 0x5a || (octet | 0x20) !== chunk[own]) return false;
    }
    return true;
  }

  function allocate(units: number): number {
    for (let room = units; room < free.length; room++) {
      const unit = free[room]?.pop();
      if (unit === undefined) continue;
      if (room > units) release(unit + units, room - units);
      return unit;
    }
    const left = chunks.length * CHUNK_UNITS - fresh;
    if (left < units) {
      if (left > 0) release(fresh, left);
      fresh = chunks.length * CHUNK_UNITS;
      chunks.push(new Uint8Array(CHUNK_UNITS * UNIT_BYTES));
    }
    fresh += units;
    return fresh - units;
  }

  function release(unit: number, units: number): void {
    for (let at = free.length; at <= units; at++) free.push([]);
    free[units]?.push(unit);
  }

  function unitsOf(unit: number): number {
    const chunk = chunks[unit >>> 16] as Uint8Array;
    const head = (unit & 0xffff) * UNIT_BYTES;
    const valueBytes = ((chunk[head + 1] as number) << 8) | (chunk[head + 2] as number);
    return unitsFor(chunk[head] as number, valueBytes);
  }

  function write(unit: number, key: Uint8Array, value: Uint8Array): void {
    const chunk = chunks[unit >>> 16] as Uint8Array;
    const head = (unit & 0xffff) * UNIT_BYTES;
    chunk[head] = key.length;
    chunk[head + 1] = value.length >> 8;
    chunk[head + 2] = value.length & 0xff;
    chunk.set(key, head + HEAD_BYTES);
    chunk.set(value, head + HEAD_BYTES + key.length);
  }

  function insert(unit: number, hash: number): void {
    const mask = slots.length - 2;
    let slot = (hash << 1) & mask;
    while (slots[slot] !== 0) slot = (slot + 2) & mask;
    slots[slot] = unit + 1;
    slots[slot + 1] = hash;
  }

  function grow(): void {
    const old = slots;
    slots = new Int32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 2) {
      const entry = old[at] as number;
      if (entry !== 0) insert(entry - 1, old[at + 1] as number);
    }
  }

  /** Close the gap, so that no search ends too early: what was put off from its place moves up. */
  function empty(gone: number): void {
    const mask = slots.length - 2;
    let gap = gone;
    for (let slot = (gap + 2) & mask; slots[slot] !== 0; slot = (slot + 2) & mask) {
      const home = ((slots[slot + 1] as number) << 1) & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      slots[gap] = slots[slot] as number;
      slots[gap + 1] = slots[slot + 1] as number;
      gap = slot;
    }
    slots[gap] = 0;
  }

  return {
    cursor,
    find(bytes, start, end) {
      const slot = slotOf(bytes, start, end, hashOf(bytes, start, end));
      if (slot < 0) return false;
      const unit = (slots[slot] as number) - 1;
      cursor.bytes = chunks[unit >>> 16] as Uint8Array;
      cursor.at = (unit & 0xffff) * UNIT_BYTES + HEAD_BYTES + end - start;
      return true;
    },
    put(key, value) {
      const hash = hashOf(key, 0, key.length);
      const units = unitsFor(key.length, value.length);
      const slot = slotOf(key, 0, key.length, hash);
      const before = slot < 0 ? -1 : (slots[slot] as number) - 1;
      if (before >= 0 && unitsOf(before) === units) return write(before, key, value);
      const unit = allocate(units);
      write(unit, key, value);
      if (before >= 0) {
        release(before, unitsOf(before));
        slots[slot] = unit + 1;
        return;
      }
      if (++size * 4 > slots.length) grow();
      insert(unit, hash);
    },
    delete(key) {
      const slot = slotOf(key, 0, key.length, hashOf(key, 0, key.length));
      if (slot < 0) return;
      const unit = (slots[slot] as number) - 1;
      release(unit, unitsOf(unit));
      empty(slot);
      size--;
    },
    size: () => size,
    memoryBytes: () => chunks.length * CHUNK_UNITS * UNIT_BYTES + slots.length * 4,
  };
}

function unitsFor(keyBytes: number, valueBytes: number): number {
  return Math.ceil((HEAD_BYTES + keyBytes + valueBytes) / UNIT_BYTES);
}
