import { OPTION, RCODE, TYPE } from "./codes.ts";
import { isCookie } from "./cookies.ts";
import { FLAG_QR, flagsOf, opcodeOf } from "./header.ts";
import { HEADER_BYTES } from "./sizes.ts";
import { readName, skipName } from "./wire-name.ts";

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

/**
 * Read a query; undefined for what must not be answered: a message without a whole header, and an answer (QR = 1),
 * or two servers could send messages to each other for ever.
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
  if (packet.length < HEADER_BYTES || (flagsOf(packet) & FLAG_QR) !== 0) return undefined;
  const read = packet.readUInt16BE(4) === 1 ? readQuestion(packet) : undefined;
  if (read === undefined) return withoutQuestion(packet);
  const records = readRecords(packet, read.end);
  const base = { packet, questionEnd: read.end, question: read.question, edns: records.edns };
  const fault = opcodeOf(packet) === 0 ? faultOf(records) : RCODE.NOTIMP;
  return { ...base, fault };
}

function withoutQuestion(packet: Buffer): Query {
  const { edns, wellFormed } = readRecords(packet, HEADER_BYTES);
  const onlyCookie = packet.readUInt16BE(4) === 0 && wellFormed && edns?.version === 0 && edns.cookie !== undefined;
  const base = { packet, questionEnd: HEADER_BYTES, question: undefined };
  if (opcodeOf(packet) !== 0) return { ...base, edns: undefined, fault: RCODE.NOTIMP };
  return onlyCookie ? { ...base, edns, fault: RCODE.NOERROR } : { ...base, edns: undefined, fault: RCODE.FORMERR };
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

/** Walk the records after the question. Each step consumes 11 octets or ends it, whatever the header's counts are. */
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
