import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";
import type { NameRow } from "../model/name-table.ts";
import { type AnswerTable, denyingZone, isNameAbove, SOA_TIMES, soaOwner, type ZoneIndex } from "./answer.ts";
import { byteTable, type Cursor } from "./byte-table.ts";
import { CLASS_IN, RCODE, TYPE } from "./codes.ts";
import { MAX_UDP_BYTES } from "./message.ts";
import { appendOpt, OPT_BYTES, plainQuestionEnd } from "./plain-query.ts";
import type { QuestionCounts } from "./questions.ts";
import { wildcardRow } from "./rows.ts";
import { encodeName, HEADER_BYTES, labelsOf, readName } from "./wire-name.ts";

/**
 * An entry begins with flags, the SOA owner's offset in the name, two counts of records, the time when the row settles, and how
 * often it was asked for since that was counted.
 */
const ENTRY_HEAD_BYTES = 16;
const ASKED_AT = 12;
const A_BYTES = 16;
const AAAA_BYTES = 28;
/** What `answer` gives for a plain query for a name that is asked of others. */
export const OF_OTHERS = -1;
/** More records than an answer by UDP has room for. */
const MOST_RECORDS = Math.floor(MAX_UDP_BYTES / A_BYTES);
const FLAG_UNSETTLED = 1;
const UNDERSCORE = 0x5f;
/** Where in the SOA record its owner, MNAME and serial stand; the first two are pointers. */
const SOA_AT = { owner: 0, primary: 12, serial: 30 };

/** Types that a row with addresses never has. What else may be asked is rare enough for the full path. */
const NEVER_THERE: ReadonlySet<number> = new Set([TYPE.MX, TYPE.NAPTR, TYPE.DS, TYPE.SVCB, TYPE.HTTPS]);

/** What ready-made answers are made for. */
export interface ReadyOptions {
  readonly zones: ZoneIndex;
  readonly ttlSeconds: number;
  readonly recursionAvailable: boolean;
  /** The names that the entries are in step with. */
  readonly table: () => AnswerTable | undefined;
  /** Called for every answer; must be quick. */
  readonly onAnswer: (type: number, rcode: number) => void;
  /** Told which names are asked for. */
  readonly questions?: QuestionCounts;
}

/** Answers to the usual questions by UDP, ready but for ID, RD, the question's case and EDNS. */
export interface ReadyAnswers {
  put(row: NameRow): void;
  delete(name: string): void;
  /**
   * Write the answer to `packet` to the start of `out`, which has room for 512 octets, and give its length.
   *
   * 0 leaves the packet to the full path: whatever is no plain query for one name in IN with at most an empty OPT record; aliases,
   * names that have not settled, rare types, answers over 512 octets. {@link OF_OTHERS} is a plain query for a name that nobody here knows, in
   * no zone of ours.
   */
  answer(packet: Uint8Array, out: Uint8Array, client?: string): number;
  /** How often a name was asked for and answered from here since this was called last. */
  takeCount(name: string): number;
  memoryBytes(): number;
}

/** Ready-made answers, of no name yet. Each is what `answer` and `encodeReply` would make of the same packet. */
export function readyAnswers(options: ReadyOptions): ReadyAnswers {
  const { zones, ttlSeconds, table, onAnswer, questions } = options;
  const entries = byteTable();
  const soa = soaTemplate();
  const flags = options.recursionAvailable ? 0x80 : 0;
  let settleMs = 0;

  /** The question's packet becomes the answer's header and question. */
  function begin(packet: Uint8Array, out: Uint8Array, end: number, rcode: number, answers: number): void {
    for (let at = 0; at < end; at++) out[at] = packet[at] as number;
    out[2] = 0x84 | ((packet[2] as number) & 1);
    out[3] = flags | rcode;
    out[7] = answers;
    out[9] = answers === 0 ? 1 : 0;
  }

  function positive(packet: Uint8Array, out: Uint8Array, end: number, { bytes, at }: Cursor, type: number): number {
    const a = bytes[at + 2] as number;
    const count = type === TYPE.A ? a : (bytes[at + 3] as number);
    const length = count * (type === TYPE.A ? A_BYTES : AAAA_BYTES);
    if (end + length + OPT_BYTES > MAX_UDP_BYTES) return 0;
    begin(packet, out, end, RCODE.NOERROR, count);
    const start = at + ENTRY_HEAD_BYTES + (type === TYPE.A ? 0 : a * A_BYTES);
    for (let offset = 0; offset < length; offset++) out[end + offset] = bytes[start + offset] as number;
    onAnswer(type, RCODE.NOERROR);
    return appendOpt(packet, end, out, end + length);
  }

  function negative(packet: Uint8Array, out: Uint8Array, end: number, rcode: number, soaAt: number): number {
    begin(packet, out, end, rcode, 0);
    writePointer(soa, SOA_AT.owner, HEADER_BYTES + soaAt);
    writePointer(soa, SOA_AT.primary, HEADER_BYTES + soaAt);
    writeUint32(soa, SOA_AT.serial, table()?.serial ?? 0);
    for (let offset = 0; offset < soa.length; offset++) out[end + offset] = soa[offset] as number;
    onAnswer(typeOf(packet, end), rcode);
    return appendOpt(packet, end, out, end + soa.length);
  }

  /** The first question since the last count says who asked; the others only count up. */
  function countQuestion(packet: Uint8Array, { bytes, at }: Cursor, client: string): void {
    const asked = readUint32(bytes, at + ASKED_AT);
    if (asked === 0 && questions?.begin(packet, HEADER_BYTES, client) !== true) return;
    writeUint32(bytes, at + ASKED_AT, asked + 1);
  }

  function known(packet: Uint8Array, out: Uint8Array, end: number, client: string): number {
    const { cursor } = entries;
    const { bytes, at } = cursor;
    const type = typeOf(packet, end);
    if ((bytes[at] as number) !== 0 && !settle(cursor)) return 0;
    const count = type === TYPE.A ? bytes[at + 2] : type === TYPE.AAAA ? bytes[at + 3] : 0;
    if (count === 0 && type !== TYPE.A && type !== TYPE.AAAA && !NEVER_THERE.has(type)) return 0;
    const length =
      count === 0
        ? negative(packet, out, end, RCODE.NOERROR, bytes[at + 1] as number)
        : positive(packet, out, end, cursor, type);
    if (length > 0 && questions !== undefined) countQuestion(packet, cursor, client);
    return length;
  }

  function unknown(packet: Uint8Array, out: Uint8Array, end: number): number {
    const names = table();
    const name = readName(packet, HEADER_BYTES)?.name;
    // `_http._tcp` before a name is answered from the name's row.
    if (packet[HEADER_BYTES + 1] === UNDERSCORE) return 0;
    if (names === undefined || name === undefined || name.endsWith(".arpa")) return 0;
    // Also a name whose row has no entry here ends up in the full path.
    if (names.names.get(name) !== undefined || wildcardRow(name, names, zones) !== undefined) return 0;
    const zone = denyingZone(name, zones);
    const type = typeOf(packet, end);
    if (zone === undefined && type > 0 && type < 128 && type !== TYPE.OPT) return OF_OTHERS;
    if (zone === undefined || zone === "") return 0;
    const exists = isNameAbove(name, names, zones);
    const isPlain = type === TYPE.A || type === TYPE.AAAA || NEVER_THERE.has(type);
    if (exists ? !isPlain : type === 0 || type === TYPE.OPT || type > 127) return 0;
    const soaAt = offsetOf(packet, labelsOf(name) - labelsOf(zone));
    return negative(packet, out, end, exists ? RCODE.NOERROR : RCODE.NXDOMAIN, soaAt);
  }

  /** Whether the row has settled by now; then it is not asked again. */
  function settle({ bytes, at }: Cursor): boolean {
    const untilMs = new DataView(bytes.buffer, bytes.byteOffset + at + 4).getFloat64(0);
    if (untilMs > settleMs) settleMs = Date.now();
    if (untilMs > settleMs) return false;
    bytes[at] = 0;
    return true;
  }

  return {
    put(row) {
      const key = encodeName(row.name);
      if (key === undefined) return;
      const value = entryOf(row, offsetOf(key, labelsBefore(row, zones), 0), ttlSeconds);
      if (value === undefined) entries.delete(key);
      else entries.put(key, value);
    },
    delete(name) {
      const key = encodeName(name);
      if (key !== undefined) entries.delete(key);
    },
    answer(packet, out, client = "") {
      const end = plainQuestionEnd(packet);
      if (end === 0) return 0;
      return entries.find(packet, HEADER_BYTES, end - 4) ? known(packet, out, end, client) : unknown(packet, out, end);
    },
    takeCount(name) {
      const key = encodeName(name);
      if (key === undefined || !entries.find(key, 0, key.length)) return 0;
      const { bytes, at } = entries.cursor;
      const asked = readUint32(bytes, at + ASKED_AT);
      writeUint32(bytes, at + ASKED_AT, 0);
      return asked;
    },
    memoryBytes: entries.memoryBytes,
  };
}

function typeOf(packet: Uint8Array, questionEnd: number): number {
  return ((packet[questionEnd - 4] as number) << 8) | (packet[questionEnd - 3] as number);
}

/** How many octets the first `labels` labels take, of the name at `start`. */
function offsetOf(bytes: Uint8Array, labels: number, start: number = HEADER_BYTES): number {
  let at = start;
  for (let passed = 0; passed < labels; passed++) at += 1 + (bytes[at] as number);
  return at - start;
}

/** Labels of the row's name before the name of the zone that denies it other types. */
function labelsBefore({ name }: NameRow, zones: ZoneIndex): number {
  return labelsOf(name) - labelsOf(soaOwner(name, zones));
}

/** Octets of a row; undefined for one that only the full path can answer, or say that nothing can. */
function entryOf(row: NameRow, soaAt: number, ttlSeconds: number): Uint8Array | undefined {
  const { a, aaaa, settledAtMs } = row;
  if (row.cname !== undefined || row.waits === true || a.length > MOST_RECORDS || aaaa.length > MOST_RECORDS)
    return undefined;
  const entry = new Uint8Array(ENTRY_HEAD_BYTES + a.length * A_BYTES + aaaa.length * AAAA_BYTES);
  entry[0] = settledAtMs > 0 ? FLAG_UNSETTLED : 0;
  entry.set([soaAt, a.length, aaaa.length], 1);
  new DataView(entry.buffer).setFloat64(4, settledAtMs);
  let at = ENTRY_HEAD_BYTES;
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

function addressOctets(address: string): readonly number[] | undefined {
  // ipaddr.js alone takes most of the time that 100,000 rows need.
  if (isIPv4(address)) return address.split(".").map(Number);
  return ipaddr.isValid(address) ? ipaddr.parse(address).toByteArray() : undefined;
}

function writePointer(bytes: Uint8Array, at: number, offset: number): void {
  bytes[at] = 0xc0 | (offset >> 8);
  bytes[at + 1] = offset & 0xff;
}

function readUint32(bytes: Uint8Array, at: number): number {
  const upper = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  return ((upper << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** The SOA record that `answer` denies with; owner, MNAME and serial are put in for each answer. */
function soaTemplate(): Uint8Array {
  const mailbox = encodeName(SOA_TIMES.mailbox) ?? new Uint8Array(1);
  const soa = new Uint8Array(14 + mailbox.length + 20);
  soa.set([0, TYPE.SOA, 0, CLASS_IN], 2);
  writeUint32(soa, 6, SOA_TIMES.ttlSeconds);
  soa.set([0, soa.length - 12], 10);
  soa.set(mailbox, 14);
  const times = [SOA_TIMES.refreshSeconds, SOA_TIMES.retrySeconds, SOA_TIMES.expireSeconds, SOA_TIMES.minimumSeconds];
  for (const [index, seconds] of times.entries()) writeUint32(soa, SOA_AT.serial + 4 + index * 4, seconds);
  return soa;
}
