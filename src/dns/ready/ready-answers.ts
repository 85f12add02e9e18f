import type { NameRow } from "../../model/name-table.ts";
import { OWN_TYPES } from "../answer/own-types.ts";
import { wildcardRow } from "../answer/rows.ts";
import { type AnswerTable, isNameAbove } from "../answer/table.ts";
import { denyingZone, soaOwner, type ZoneIndex } from "../answer/zones.ts";
import type { QuestionCounts } from "../observe/question-counts.ts";
import { RCODE, TYPE } from "../wire/codes.ts";
import { appendOpt, askedType, plainQuestionEnd } from "../wire/plain-query.ts";
import { HEADER_BYTES, MAX_UDP_BYTES, OPT_BYTES } from "../wire/sizes.ts";
import { encodeName, labelsOf, readName } from "../wire/wire-name.ts";
import { type ByteTable, byteTable } from "./byte-table.ts";
import {
  A_BYTES,
  AAAA_BYTES,
  ENTRY,
  entryOf,
  FLAG,
  readUint32,
  SOA,
  soaTemplate,
  writePointer,
  writeUint32,
} from "./entry.ts";
import type { Cursor } from "./entry-heap.ts";

/** What `answer` gives for a plain query for a name that is asked of others. */
export const OF_OTHERS = -1;

const UNDERSCORE = 0x5f;

/** Types that a row with addresses never has in a zone of ours. What else may be asked is rare enough for the full path. */
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
}

interface State extends ReadyOptions {
  readonly entries: ByteTable;
  readonly soa: Uint8Array;
  /** RA in the header's fourth octet. */
  readonly raFlag: number;
  /** The time when a row was last found not to have settled, or earlier: the clock is read only for later ones. */
  clockMs: number;
}

/** Ready-made answers, of no name yet. Each is what `answer` and `encodeReply` would make of the same packet. */
export function readyAnswers(options: ReadyOptions): ReadyAnswers {
  const entries = byteTable();
  const raFlag = options.recursionAvailable ? 0x80 : 0;
  const state: State = { ...options, entries, soa: soaTemplate(), raFlag, clockMs: 0 };
  return {
    put: (row) => put(state, row),
    delete(name) {
      const key = encodeName(name);
      if (key !== undefined) entries.delete(key);
    },
    answer(packet, out, client = "") {
      const end = plainQuestionEnd(packet);
      if (end === 0) return 0;
      return entries.find(packet, HEADER_BYTES, end - 4)
        ? answerKnown(state, packet, out, end, client)
        : answerUnknown(state, packet, out, end);
    },
    takeCount(name) {
      const key = encodeName(name);
      if (key === undefined || !entries.find(key, 0, key.length)) return 0;
      const { bytes, at } = entries.cursor;
      const asked = readUint32(bytes, at + ENTRY.asked);
      writeUint32(bytes, at + ENTRY.asked, 0);
      return asked;
    },
  };
}

function put({ entries, zones, ttlSeconds }: State, row: NameRow): void {
  const key = encodeName(row.name);
  if (key === undefined) return;
  const soaOffset = octetsOf(key, labelsBefore(row, zones), 0);
  const value = entryOf(row, { soaOffset, isTheirs: denyingZone(row.name, zones) === undefined, ttlSeconds });
  if (value === undefined) entries.delete(key);
  else entries.put(key, value);
}

function answerKnown(state: State, packet: Uint8Array, out: Uint8Array, end: number, client: string): number {
  const { cursor } = state.entries;
  const { bytes, at } = cursor;
  const type = askedType(packet, end);
  const flags = bytes[at + ENTRY.flags] as number;
  if ((flags & FLAG.unsettled) !== 0 && !hasSettled(state, cursor)) return 0;
  const count = type === TYPE.A ? bytes[at + ENTRY.aCount] : type === TYPE.AAAA ? bytes[at + ENTRY.aaaaCount] : 0;
  const isOwn = (flags & FLAG.theirs) === 0 || OWN_TYPES.has(type);
  if (count === 0 && type !== TYPE.A && type !== TYPE.AAAA && !(NEVER_THERE.has(type) && isOwn)) return 0;
  const length =
    count === 0
      ? writeNegative(state, packet, out, end, RCODE.NOERROR, bytes[at + ENTRY.soaOffset] as number)
      : writePositive(state, packet, out, end, type);
  if (length > 0 && state.questions !== undefined) countQuestion(state, packet, client);
  return length;
}

function answerUnknown(state: State, packet: Uint8Array, out: Uint8Array, end: number): number {
  const { zones } = state;
  const table = state.table();
  const name = readName(packet, HEADER_BYTES)?.name;
  // `_http._tcp` before a name is answered from the name's row.
  if (packet[HEADER_BYTES + 1] === UNDERSCORE) return 0;
  if (table === undefined || name === undefined || name.endsWith(".arpa")) return 0;
  // Also a name whose row has no entry here ends up in the full path.
  if (table.names.get(name) !== undefined || wildcardRow(name, table, zones) !== undefined) return 0;
  const zone = denyingZone(name, zones);
  const type = askedType(packet, end);
  if (zone === undefined && type > 0 && type < 128 && type !== TYPE.OPT) return OF_OTHERS;
  if (zone === undefined || zone === "") return 0;
  const exists = isNameAbove(name, table, zones);
  if (!exists && table.isPartial === true) return 0;
  const isPlain = type === TYPE.A || type === TYPE.AAAA || NEVER_THERE.has(type);
  if (exists ? !isPlain : type === 0 || type === TYPE.OPT || type > 127) return 0;
  const soaOffset = octetsOf(packet, labelsOf(name) - labelsOf(zone));
  return writeNegative(state, packet, out, end, exists ? RCODE.NOERROR : RCODE.NXDOMAIN, soaOffset);
}

/** Whether the row has settled by now; then it is not asked again. */
function hasSettled(state: State, { bytes, at }: Cursor): boolean {
  const untilMs = new DataView(bytes.buffer, bytes.byteOffset + at + ENTRY.settledAtMs).getFloat64(0);
  if (untilMs > state.clockMs) state.clockMs = Date.now();
  if (untilMs > state.clockMs) return false;
  bytes[at + ENTRY.flags] = (bytes[at + ENTRY.flags] as number) & ~FLAG.unsettled;
  return true;
}

/** The first question since the last count says who asked; the others only count up. */
function countQuestion({ entries, questions }: State, packet: Uint8Array, client: string): void {
  const { bytes, at } = entries.cursor;
  const asked = readUint32(bytes, at + ENTRY.asked);
  if (asked === 0 && questions?.begin(packet, HEADER_BYTES, client) !== true) return;
  writeUint32(bytes, at + ENTRY.asked, asked + 1);
}

/** The question's packet becomes the answer's header and question. */
function writeQuestion(
  { raFlag }: State,
  packet: Uint8Array,
  out: Uint8Array,
  end: number,
  rcode: number,
  answers: number,
): void {
  for (let at = 0; at < end; at++) out[at] = packet[at] as number;
  out[2] = 0x84 | ((packet[2] as number) & 1);
  out[3] = raFlag | rcode;
  out[7] = answers;
  out[9] = answers === 0 ? 1 : 0;
}

/** The addresses of the entry that was found; 0 where they do not fit. */
function writePositive(state: State, packet: Uint8Array, out: Uint8Array, end: number, type: number): number {
  const { bytes, at } = state.entries.cursor;
  const a = bytes[at + ENTRY.aCount] as number;
  const count = type === TYPE.A ? a : (bytes[at + ENTRY.aaaaCount] as number);
  const length = count * (type === TYPE.A ? A_BYTES : AAAA_BYTES);
  if (end + length + OPT_BYTES > MAX_UDP_BYTES) return 0;
  writeQuestion(state, packet, out, end, RCODE.NOERROR, count);
  const start = at + ENTRY.records + (type === TYPE.A ? 0 : a * A_BYTES);
  for (let offset = 0; offset < length; offset++) out[end + offset] = bytes[start + offset] as number;
  state.onAnswer(type, RCODE.NOERROR);
  return appendOpt(packet, end, out, end + length);
}

/** NODATA or NXDOMAIN with the SOA of the zone that begins `soaOffset` octets into the name. */
function writeNegative(
  state: State,
  packet: Uint8Array,
  out: Uint8Array,
  end: number,
  rcode: number,
  soaOffset: number,
): number {
  const { soa } = state;
  writeQuestion(state, packet, out, end, rcode, 0);
  writePointer(soa, SOA.owner, HEADER_BYTES + soaOffset);
  writePointer(soa, SOA.primary, HEADER_BYTES + soaOffset);
  writeUint32(soa, SOA.serial, state.table()?.serial ?? 0);
  for (let offset = 0; offset < soa.length; offset++) out[end + offset] = soa[offset] as number;
  state.onAnswer(askedType(packet, end), rcode);
  return appendOpt(packet, end, out, end + soa.length);
}

/** How many octets the first `labels` labels take, of the name at `start`. */
function octetsOf(bytes: Uint8Array, labels: number, start: number = HEADER_BYTES): number {
  let at = start;
  for (let passed = 0; passed < labels; passed++) at += 1 + (bytes[at] as number);
  return at - start;
}

/** Labels of the row's name before the name of the zone that denies it other types. */
function labelsBefore({ name }: NameRow, zones: ZoneIndex): number {
  return labelsOf(name) - labelsOf(soaOwner(name, zones));
}
