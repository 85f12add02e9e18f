import { OPTION, RCODE, TYPE } from "./codes.ts";
import { isCookie } from "./cookies.ts";
import { type ForeignAnswer, type PassOn, writeForeign } from "./foreign.ts";
import { encodeRecords, type ResourceRecord } from "./records.ts";
import { HEADER_BYTES, readName, skipName } from "./wire-name.ts";

/** The largest answer over UDP (RFC 1035 §2.3.4): a forged source gets no more than this from us. */
export const MAX_UDP_BYTES = 512;
/** The UDP payload that we say we can receive (RFC 6891 §6.2.3; 1232 never fragments, see RFC 9715 §3.1). */
export const EDNS_UDP_BYTES = 1232;

const FLAG_QR = 0x8000;
const FLAG_AA = 0x0400;
const FLAG_TC = 0x0200;
const FLAG_RD = 0x0100;
const FLAG_RA = 0x0080;
const OPT_BYTES = 11;
const NOTHING = Buffer.alloc(0);

/** What is asked (RFC 1035 §4.1.2). */
export interface Question {
  /** Lower case, no trailing dot; the root is "". */
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** What the OPT record of a query says (RFC 6891 §6.1). */
export interface Edns {
  readonly version: number;
  /** The DO bit, which an answer copies (RFC 3225 §3). */
  readonly dnssecOk: boolean;
  /** The largest UDP answer that the client can take (RFC 6891 §6.2.3). */
  readonly udpBytes: number;
  /** Whether it wants to know which server answers (RFC 5001 §2.1). */
  readonly wantsNsid: boolean;
  /** Data of its COOKIE option (RFC 7873 §4). */
  readonly cookie: Uint8Array | undefined;
  /** Data of its CLIENT-SUBNET option (RFC 7871 §6), as it stands there. */
  readonly clientSubnet: Uint8Array | undefined;
}

/** Data of options of an answer, by code. */
export type EdnsOptions = Readonly<Record<number, Uint8Array>>;

interface QueryBase {
  /** The whole message as received. */
  readonly packet: Buffer;
  /** Offset after the question; the header's length if no question could be read. */
  readonly questionEnd: number;
  readonly edns: Edns | undefined;
}

/** A query that can be looked up, or one whose answer is `fault` whatever it asks. */
export type Query =
  | (QueryBase & { readonly fault: undefined; readonly question: Question })
  | (QueryBase & { readonly fault: number; readonly question: Question | undefined });

/** An answer before it is bits. */
export interface Reply {
  readonly rcode: number;
  /** AA: the data are ours (RFC 1035 §4.1.1). */
  readonly authoritative: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
}

/**
 * Read a query; undefined for what must not be answered: a message without a whole header, and an answer (QR = 1),
 * or two servers could keep each other busy for ever.
 *
 * Faults: FORMERR for anything but exactly one question (RFC 9619 §4), names and records that do not fit the message, bytes after
 * it, an OPT record that is not alone, at the root and in the additional section (RFC 6891 §6.1.1); NOTIMP for every opcode but
 * QUERY (RFC 1035 §4.1.1); BADVERS for EDNS versions above 0 (RFC 6891 §6.1.3). Unknown EDNS options are ignored (§6.1.2).
 * A COOKIE option of a wrong length is FORMERR (RFC 7873 §5.2.2); a query without question that has one is NOERROR (§5.4).
 *
 * dns2's Packet.parse is not used here. As of 3.1.1 it reads a label `a.b` as two labels, follows pointers forwards, needs more than a
 * second for one datagram of pointers that lead to pointers, takes the version of an OPT whose TTL has its high bit set for 255,
 * drops an OPT that has one malformed option, and reports none of bytes after the end, two OPT records, or OPT below the root.
 */
export function decodeQuery(packet: Buffer): Query | undefined {
  if (packet.length < HEADER_BYTES || (packet.readUInt16BE(2) & FLAG_QR) !== 0) return undefined;
  const read = packet.readUInt16BE(4) === 1 ? readQuestion(packet) : undefined;
  if (read === undefined) return withoutQuestion(packet);
  const records = readRecords(packet, read.end);
  const base = { packet, questionEnd: read.end, question: read.question, edns: records.edns };
  const fault = opcodeOf(packet) === 0 ? faultOf(records) : RCODE.NOTIMP;
  return { ...base, fault };
}

/**
 * The bits of an answer of at most `maxBytes`. The header's ID and RD and the question's bytes, case included, are the query's.
 * What does not fit is left out and TC is set (RFC 2181 §9: no RRset in part). An OPT record is there exactly if the query had one (RFC 6891 §7).
 */
export function encodeReply(
  query: Query,
  reply: Reply,
  options: { readonly maxBytes: number; readonly recursionAvailable: boolean; readonly edns?: EdnsOptions },
): Buffer {
  const records = encodeRecords(query, [...reply.answers, ...reply.authority]);
  const flags =
    FLAG_QR |
    (query.packet.readUInt16BE(2) & (0x7800 | FLAG_RD)) |
    (reply.authoritative ? FLAG_AA : 0) |
    (options.recursionAvailable ? FLAG_RA : 0) |
    (reply.rcode & 0xf);
  const opt = encodeOpt(query.edns, reply.rcode, options.edns);
  if (query.questionEnd + records.length + opt.length > options.maxBytes)
    return assemble(query, flags | FLAG_TC, NOTHING, [0, 0], opt);
  return assemble(query, flags, records, [reply.answers.length, reply.authority.length], opt);
}

/** An answer that says no more than: ask again by TCP. */
export function truncated(query: Query): Buffer {
  const flags = FLAG_QR | FLAG_TC | (query.packet.readUInt16BE(2) & (0x7800 | FLAG_RD));
  return assemble(query, flags, NOTHING, [0, 0], encodeOpt(query.edns, 0));
}

/** Whether an answer says that it was cut (TC, RFC 1035 §4.1.1). */
export function isTruncated(message: Buffer): boolean {
  return (message.readUInt16BE(2) & FLAG_TC) !== 0;
}

/**
 * The bits of someone else's answer, at most `maxBytes`, as the answer to `query`: see `writeForeign`, and the OPT record is ours. One that is
 * too long becomes its header and question with TC set (RFC 2181 §9).
 */
export function encodeForeign(
  query: Query,
  answer: ForeignAnswer,
  options: PassOn & { readonly maxBytes: number; readonly edns?: EdnsOptions },
): Buffer {
  const opt = encodeOpt(query.edns, answer.rcode, options.edns);
  const out = Buffer.allocUnsafe(answer.message.length + opt.length);
  const end = writeForeign(answer, query.packet, out, { ...options, dnssecOk: query.edns?.dnssecOk ?? false });
  opt.copy(out, end);
  if (opt.length > 0) out.writeUInt16BE(out.readUInt16BE(10) + 1, 10);
  if (out.length <= options.maxBytes) return out;
  return assemble(query, out.readUInt16BE(2) | FLAG_TC, NOTHING, [0, 0], opt);
}

/** The response code in an answer's header, without the upper bits of an OPT record. */
export function rcodeOf(message: Buffer): number {
  return message.readUInt16BE(2) & 0xf;
}

function withoutQuestion(packet: Buffer): Query {
  const { edns, wellFormed } = readRecords(packet, HEADER_BYTES);
  const onlyCookie = packet.readUInt16BE(4) === 0 && wellFormed && edns?.version === 0 && edns.cookie !== undefined;
  const base = { packet, questionEnd: HEADER_BYTES, question: undefined };
  if (opcodeOf(packet) !== 0) return { ...base, edns: undefined, fault: RCODE.NOTIMP };
  return onlyCookie ? { ...base, edns, fault: RCODE.NOERROR } : { ...base, edns: undefined, fault: RCODE.FORMERR };
}

function opcodeOf(packet: Buffer): number {
  return (packet.readUInt16BE(2) >> 11) & 0xf;
}

function readQuestion(packet: Buffer): { readonly question: Question; readonly end: number } | undefined {
  const name = readName(packet, HEADER_BYTES);
  if (name === undefined || name.end + 4 > packet.length) return undefined;
  const question = { name: name.name, type: packet.readUInt16BE(name.end), class: packet.readUInt16BE(name.end + 2) };
  return { question, end: name.end + 4 };
}

interface Records {
  readonly edns: Edns | undefined;
  readonly wellFormed: boolean;
}

function faultOf({ edns, wellFormed }: Records): number | undefined {
  if (!wellFormed) return RCODE.FORMERR;
  return edns !== undefined && edns.version !== 0 ? RCODE.BADVERS : undefined;
}

/** Walk the records after the question. Each step consumes 11 octets or ends it, whatever the header's counts claim. */
function readRecords(packet: Buffer, start: number): Records {
  const additionalFrom = packet.readUInt16BE(6) + packet.readUInt16BE(8);
  const count = additionalFrom + packet.readUInt16BE(10);
  let edns: Edns | undefined;
  let at = start;
  for (let index = 0; index < count; index++) {
    const nameEnd = skipName(packet, at);
    if (nameEnd === undefined || nameEnd + 10 > packet.length) return { edns, wellFormed: false };
    const end = nameEnd + 10 + packet.readUInt16BE(nameEnd + 8);
    if (end > packet.length) return { edns, wellFormed: false };
    if (packet.readUInt16BE(nameEnd) === TYPE.OPT) {
      const misplaced = edns !== undefined || index < additionalFrom || nameEnd !== at + 1;
      const options = readOptions(packet, nameEnd + 10, end);
      edns ??= {
        version: packet[nameEnd + 5] as number,
        dnssecOk: ((packet[nameEnd + 6] as number) & 0x80) !== 0,
        udpBytes: packet.readUInt16BE(nameEnd + 2),
        wantsNsid: options?.wantsNsid ?? false,
        cookie: options?.cookie,
        clientSubnet: options?.clientSubnet,
      };
      if (misplaced || options === undefined) return { edns, wellFormed: false };
    }
    at = end;
  }
  return { edns, wellFormed: at === packet.length };
}

/** The options that we know, the first of each; undefined where the list does not fill its record exactly or a cookie is none (RFC 6891 §6.1.2). */
function readOptions(
  packet: Buffer,
  start: number,
  end: number,
): Pick<Edns, "wantsNsid" | "cookie" | "clientSubnet"> | undefined {
  let wantsNsid = false;
  let cookie: Uint8Array | undefined;
  let clientSubnet: Uint8Array | undefined;
  let at = start;
  while (at + 4 <= end) {
    const code = packet.readUInt16BE(at);
    const next = at + 4 + packet.readUInt16BE(at + 2);
    if (next > end) return undefined;
    if (code === OPTION.NSID) wantsNsid = true;
    if (code === OPTION.CLIENT_SUBNET) clientSubnet ??= packet.subarray(at + 4, next);
    if (code === OPTION.COOKIE) {
      cookie ??= packet.subarray(at + 4, next);
      if (!isCookie(cookie)) return undefined;
    }
    at = next;
  }
  return at === end ? { wantsNsid, cookie, clientSubnet } : undefined;
}

function encodeOptions(options: EdnsOptions): Buffer {
  const parts = Object.entries(options).flatMap(([code, data]) => {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(Number(code), 0);
    head.writeUInt16BE(data.length, 2);
    return [head, data];
  });
  return Buffer.concat(parts);
}

function encodeOpt(edns: Edns | undefined, rcode: number, options: EdnsOptions = {}): Buffer {
  if (edns === undefined) return NOTHING;
  const data = encodeOptions(options);
  const opt = Buffer.concat([Buffer.alloc(OPT_BYTES), data]);
  opt.writeUInt16BE(data.length, 9);
  opt.writeUInt16BE(TYPE.OPT, 1);
  opt.writeUInt16BE(EDNS_UDP_BYTES, 3);
  opt[5] = rcode >> 4;
  opt[7] = edns.dnssecOk ? 0x80 : 0;
  return opt;
}

function assemble(
  query: Query,
  flags: number,
  records: Buffer,
  [answers, authority]: readonly [number, number],
  opt: Buffer,
): Buffer {
  const { packet, questionEnd } = query;
  const message = Buffer.allocUnsafe(questionEnd + records.length + opt.length);
  packet.copy(message, 0, 0, questionEnd);
  message.writeUInt16BE(flags, 2);
  message.writeUInt16BE(questionEnd > HEADER_BYTES ? 1 : 0, 4);
  message.writeUInt16BE(answers, 6);
  message.writeUInt16BE(authority, 8);
  message.writeUInt16BE(opt.length > 0 ? 1 : 0, 10);
  records.copy(message, questionEnd);
  opt.copy(message, questionEnd + records.length);
  return message;
}
