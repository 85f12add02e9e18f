import type { NameRow } from "../../model/name-table.ts";
import { SOA_TIMES } from "../answer/answer.ts";
import { addressOctets } from "../wire/address-octets.ts";
import { CLASS_IN, TYPE } from "../wire/codes.ts";
import { HEADER_BYTES, MAX_UDP_BYTES } from "../wire/sizes.ts";
import { encodeName } from "../wire/wire-name.ts";

/** Octets of a whole A record whose owner is a pointer. */
export const A_BYTES = 16;
/** Octets of a whole AAAA record whose owner is a pointer. */
export const AAAA_BYTES = 28;

/** Where in an entry its parts stand. */
export const ENTRY = {
  /** See {@link FLAG}. */
  flags: 0,
  /** Offset of the SOA's owner in the name. */
  soaOffset: 1,
  aCount: 2,
  aaaaCount: 3,
  /** When the row settles, a 64-bit floating-point number. */
  settledAtMs: 4,
  /** How often it was asked for since that was counted, 32 bits. */
  asked: 12,
  /** A records, then AAAA records, as they stand in an answer. */
  records: 16,
} as const;

/** What a row is besides. */
export const FLAG = {
  /** It may not have settled. */
  unsettled: 1,
  /** Its zone is someone else's, who may know more types of it. */
  theirs: 2,
} as const;

/** Where in an SOA record its owner, MNAME and serial stand; the first two are pointers. */
export const SOA = { owner: 0, primary: 12, serial: 30 } as const;

/** More records than an answer by UDP has room for. */
const MOST_RECORDS = Math.floor(MAX_UDP_BYTES / A_BYTES);

/** What of a row's entry does not follow from the row. */
export interface EntryPlace {
  /** Octets of the name before that of its SOA. */
  readonly soaOffset: number;
  readonly isTheirs: boolean;
  readonly ttlSeconds: number;
}

/** The entry of a row; undefined for one that only the full path can answer, or say that nothing can. */
export function entryOf(row: NameRow, { soaOffset, isTheirs, ttlSeconds }: EntryPlace): Uint8Array | undefined {
  const { a, aaaa, settledAtMs } = row;
  if (row.cname !== undefined || row.waits === true || a.length > MOST_RECORDS || aaaa.length > MOST_RECORDS)
    return undefined;
  const entry = new Uint8Array(ENTRY.records + a.length * A_BYTES + aaaa.length * AAAA_BYTES);
  entry[ENTRY.flags] = (settledAtMs > 0 ? FLAG.unsettled : 0) | (isTheirs ? FLAG.theirs : 0);
  entry[ENTRY.soaOffset] = soaOffset;
  entry[ENTRY.aCount] = a.length;
  entry[ENTRY.aaaaCount] = aaaa.length;
  new DataView(entry.buffer).setFloat64(ENTRY.settledAtMs, settledAtMs);
  let at: number = ENTRY.records;
  for (const [type, addresses] of [[TYPE.A, a] as const, [TYPE.AAAA, aaaa] as const]) {
    for (const address of addresses) {
      const octets = addressOctets(address);
      if (octets === undefined) return undefined;
      writePointer(entry, at, HEADER_BYTES);
      entry.set([0, type, 0, CLASS_IN], at + 2);
      writeUint32(entry, at + 6, ttlSeconds);
      entry.set([0, octets.length], at + 10);
      entry.set(octets, at + 12);
      at += 12 + octets.length;
    }
  }
  return entry;
}

/** The SOA record that `answer` denies with; owner, MNAME and serial are put in for each answer. */
export function soaTemplate(): Uint8Array {
  const mailbox = encodeName(SOA_TIMES.mailbox) ?? new Uint8Array(1);
  const soa = new Uint8Array(14 + mailbox.length + 20);
  soa.set([0, TYPE.SOA, 0, CLASS_IN], 2);
  writeUint32(soa, 6, SOA_TIMES.ttlSeconds);
  soa.set([0, soa.length - 12], 10);
  soa.set(mailbox, 14);
  const times = [SOA_TIMES.refreshSeconds, SOA_TIMES.retrySeconds, SOA_TIMES.expireSeconds, SOA_TIMES.minimumSeconds];
  for (const [index, seconds] of times.entries()) writeUint32(soa, SOA.serial + 4 + index * 4, seconds);
  return soa;
}

/** Write a compression pointer to `offset` (RFC 1035 §4.1.4). */
export function writePointer(bytes: Uint8Array, at: number, offset: number): void {
  bytes[at] = 0xc0 | (offset >> 8);
  bytes[at + 1] = offset & 0xff;
}

/** Read 32 bits. */
export function readUint32(bytes: Uint8Array, at: number): number {
  const upper = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  return ((upper << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
}

/** Write 32 bits. */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
