import { Packet } from "dns2";
import { addressOctets } from "./address-octets.ts";
import { CLASS_IN, TYPE } from "./codes.ts";
import type { Query } from "./query.ts";
import { HEADER_BYTES } from "./sizes.ts";
import { encodeName, parentOf } from "./wire-name.ts";

/** One record of an answer (RFC 1035 §3.2.1; AAAA: RFC 3596 §2.2; SRV: RFC 2782). Names in lower case without trailing dot. */
export type ResourceRecord = { readonly name: string; readonly ttlSeconds: number } & (
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME" | "NS" | "PTR"; readonly target: string }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: "TXT"; readonly texts: readonly string[] }
  | {
      readonly type: "SOA";
      readonly primary: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refreshSeconds: number;
      readonly retrySeconds: number;
      readonly expireSeconds: number;
      readonly minimumSeconds: number;
    }
);

/** Offsets in the message at which names stand that later names can point to. */
type NameOffsets = Map<string, number>;

/** A pointer has 14 bits (RFC 1035 §4.1.4). */
const MAX_POINTER = 0x3fff;
/** Octets of type, class, TTL and length of the data. */
const HEAD_BYTES = 10;

/**
 * The octets of records that follow the question of `query`, with names compressed against it (RFC 1035 §4.1.4): a record of the
 * name that was asked carries the case that was asked (RFC 4343 §4.1).
 *
 * TXT records, whose data hold no names, are encoded by dns2, each by itself. The others are not, as of dns2 3.1.1: it takes the
 * `\DDD` of our names for four octets and points only to names that it wrote itself, compresses the target of SRV (RFC 2782 forbids
 * that), cuts the address `::ffff:192.0.2.1` (RFC 5952 §5), takes twice the time for A, and for many records in one writer a time
 * that grows with their square.
 *
 * @param mostBytes what the records may take; encoding ends with the first that does not fit
 * @throws When a record cannot be encoded: an address that is none, a label over 63 octets.
 */
export function encodeRecords(query: Query, records: readonly ResourceRecord[], mostBytes: number): EncodedRecords {
  const offsets = questionNames(query);
  const parts: Uint8Array[] = [];
  let end = query.questionEnd;
  let count = 0;
  for (const record of records) {
    const owner = compressName(record.name, end, offsets);
    const rest = encodeRest(record, end + owner.length, offsets);
    if (end + owner.length + rest.length > query.questionEnd + mostBytes) break;
    parts.push(owner, rest);
    end += owner.length + rest.length;
    count++;
  }
  return { octets: Buffer.concat(parts), count };
}

/** The records that fit, whole ones from the first on. */
export interface EncodedRecords {
  readonly octets: Buffer;
  readonly count: number;
}

/** Offsets of the question's name and of its parents. */
function questionNames({ packet, question }: Query): NameOffsets {
  const offsets: NameOffsets = new Map();
  let at = HEADER_BYTES;
  for (let rest = question?.name ?? ""; rest !== ""; rest = parentOf(rest)) {
    offsets.set(rest, at);
    at += 1 + (packet[at] as number);
  }
  return offsets;
}

/** A name at offset `at`, its longest known suffix as a pointer; what is written out can be pointed to from now on. */
function compressName(name: string, at: number, offsets: NameOffsets): Uint8Array {
  const octets = nameOctets(name);
  let length = 0;
  for (let rest = name; rest !== ""; rest = parentOf(rest)) {
    const known = offsets.get(rest);
    if (known !== undefined) return Buffer.concat([octets.subarray(0, length), uint16(0xc000 | known)]);
    if (at + length <= MAX_POINTER) offsets.set(rest, at + length);
    length += 1 + (octets[length] as number);
  }
  return octets;
}

function nameOctets(name: string): Uint8Array {
  const octets = encodeName(name);
  if (octets === undefined) throw new Error(`Cannot write "${name}" as a DNS name`);
  return octets;
}

/** What follows the owner of a record at `at`: type, class, TTL, length of the data, and the data. */
function encodeRest(record: ResourceRecord, at: number, offsets: NameOffsets): Uint8Array {
  if (record.type === "TXT") return encodeByDns2(record, [...record.texts]);
  const data = encodeData(record, at + HEAD_BYTES, offsets);
  const rest = Buffer.allocUnsafe(HEAD_BYTES + data.length);
  rest.writeUInt16BE(TYPE[record.type], 0);
  rest.writeUInt16BE(CLASS_IN, 2);
  rest.writeUInt32BE(record.ttlSeconds, 4);
  rest.writeUInt16BE(data.length, 8);
  rest.set(data, HEAD_BYTES);
  return rest;
}

/** Without the owner, which for dns2 is the root, one octet. */
function encodeByDns2({ type, ttlSeconds }: ResourceRecord, data: string[]): Uint8Array {
  const record = { name: "", type: TYPE[type], class: CLASS_IN, ttl: ttlSeconds, data };
  return Packet.Resource.encode(new Packet.Resource(record)).subarray(1);
}

function encodeData(
  record: Exclude<ResourceRecord, { readonly type: "TXT" }>,
  at: number,
  offsets: NameOffsets,
): ArrayLike<number> {
  switch (record.type) {
    case "A":
    case "AAAA":
      return addressData(record);
    case "SRV":
      return Buffer.concat([uint16(record.priority, record.weight, record.port), nameOctets(record.target)]);
    case "SOA": {
      const { serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds } = record;
      const primary = compressName(record.primary, at, offsets);
      const mailbox = compressName(record.mailbox, at + primary.length, offsets);
      const numbers = uint32(serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds);
      return Buffer.concat([primary, mailbox, numbers]);
    }
    default:
      return compressName(record.target, at, offsets);
  }
}

function addressData({ type, address }: { readonly type: "A" | "AAAA"; readonly address: string }): ArrayLike<number> {
  const octets = addressOctets(address);
  if (octets?.length !== (type === "A" ? 4 : 16)) throw new Error(`Cannot write "${address}" as data of type ${type}`);
  return octets;
}

function uint16(...values: readonly number[]): Buffer {
  const octets = Buffer.alloc(2 * values.length);
  for (const [index, value] of values.entries()) octets.writeUInt16BE(value, 2 * index);
  return octets;
}

function uint32(...values: readonly number[]): Buffer {
  const octets = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) octets.writeUInt32BE(value, 4 * index);
  return octets;
}
