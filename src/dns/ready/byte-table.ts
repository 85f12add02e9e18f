import { randomInt } from "node:crypto";
import {
  addEntry,
  type Cursor,
  type EntryHeap,
  entryHeap,
  hasKey,
  heapBytes,
  pointTo,
  releaseEntry,
  rewriteEntry,
} from "./entry-heap.ts";

const MIN_SLOTS = 1 << 10;
const FNV_PRIME = 0x01000193;

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

interface State {
  readonly heap: EntryHeap;
  readonly seed: number;
  /** Pairs, so that reading a slot is one access to memory: unit of the entry plus 1 (0 is empty), and its name's hash. */
  slots: Int32Array;
  /** Slots in use. */
  size: number;
}

/**
 * A hash table with open addressing. Looking a name up touches two places in memory and makes no object, so that its cost hardly
 * grows with the number of names, and changing one entry costs the same whatever the size; only doubling the slots does not.
 *
 * The hash is seeded, so that nobody can choose names that meet in one slot.
 */
export function byteTable(): ByteTable {
  const heap = entryHeap();
  const state: State = { heap, seed: randomInt(2 ** 31), slots: new Int32Array(MIN_SLOTS * 2), size: 0 };
  const cursor: Cursor = { bytes: new Uint8Array(0), at: 0 };
  return {
    cursor,
    find(bytes, start, end) {
      const slot = slotOf(state, bytes, start, end, hashOf(state.seed, bytes, start, end));
      if (slot < 0) return false;
      pointTo(heap, unitAt(state, slot), end - start, cursor);
      return true;
    },
    put: (key, value) => put(state, key, value),
    delete(key) {
      const slot = slotOf(state, key, 0, key.length, hashOf(state.seed, key, 0, key.length));
      if (slot < 0) return;
      releaseEntry(heap, unitAt(state, slot));
      empty(state, slot);
      state.size--;
    },
    size: () => state.size,
    memoryBytes: () => heapBytes(heap) + state.slots.length * 4,
  };
}

function hashOf(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed;
  // Letters of either case become alike; so do a few octets that are none, which `hasKey` tells apart.
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ ((bytes[at] as number) | 0x20), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return hash ^ (hash >>> 13);
}

function slotOf({ heap, slots }: State, bytes: Uint8Array, start: number, end: number, hash: number): number {
  const mask = slots.length - 2;
  for (let slot = (hash << 1) & mask; ; slot = (slot + 2) & mask) {
    const entry = slots[slot] as number;
    if (entry === 0) return -1;
    if (slots[slot + 1] === hash && hasKey(heap, entry - 1, bytes, start, end)) return slot;
  }
}

function unitAt({ slots }: State, slot: number): number {
  return (slots[slot] as number) - 1;
}

function put(state: State, key: Uint8Array, value: Uint8Array): void {
  const { heap } = state;
  const hash = hashOf(state.seed, key, 0, key.length);
  const slot = slotOf(state, key, 0, key.length, hash);
  if (slot >= 0) {
    const before = unitAt(state, slot);
    if (rewriteEntry(heap, before, key, value)) return;
    state.slots[slot] = addEntry(heap, key, value) + 1;
    releaseEntry(heap, before);
    return;
  }
  const unit = addEntry(heap, key, value);
  if (++state.size * 4 > state.slots.length) grow(state);
  insert(state.slots, unit, hash);
}

function insert(slots: Int32Array, unit: number, hash: number): void {
  const mask = slots.length - 2;
  let slot = (hash << 1) & mask;
  while (slots[slot] !== 0) slot = (slot + 2) & mask;
  slots[slot] = unit + 1;
  slots[slot + 1] = hash;
}

function grow(state: State): void {
  const old = state.slots;
  const slots = new Int32Array(old.length * 2);
  for (let at = 0; at < old.length; at += 2) {
    const entry = old[at] as number;
    if (entry !== 0) insert(slots, entry - 1, old[at + 1] as number);
  }
  state.slots = slots;
}

/** Close the gap, so that no search ends too early: an entry that was put off from its place moves up. */
function empty({ slots }: State, gone: number): void {
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
