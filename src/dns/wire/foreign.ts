import ipaddr from "ipaddr.js";
import { RCODE, TYPE } from "./codes.ts";
import { echoFinder } from "./echoes.ts";
import { HEADER_BYTES } from "./sizes.ts";
import { skipName } from "./wire-name.ts";

/** Longest time that an answer is kept (RFC 8767 §4 has a week), and a denial (RFC 2308 §5). */
const MAX_TTL_SECONDS = 86_400;
const MAX_DENIAL_SECONDS = 3 * 3600;
/** What is neither an answer nor a denial is asked again after this time (RFC 9520 §3.2). */
export const FAILURE_SECONDS = 1;

/** Someone else's answer, taken apart as far as passing it on needs. */
export interface ForeignAnswer {
  /** Header, question and records; without OPT, which was a matter between us and the upstream (RFC 6891 §6.1.1). */
  readonly message: Buffer;
  /** Offsets of the records' TTLs. */
  readonly ttlAt: readonly number[];
  /** What repeats the question: offset, offset in the question, and octets of each stretch. */
  readonly echoes: Uint16Array;
  readonly rcode: number;
  /** How long it may be kept; 0: not at all. */
  readonly ttlSeconds: number;
}

interface Walk {
  readonly ttlAt: number[];
  readonly echoes: number[];
  readonly counts: number[];
  end: number;
  least: number;
  denial: number | undefined;
  hasAnswer: boolean;
  upperRcode: number;
}

/**
 * Read an answer whose header and question are known to fit; undefined if its records do not fit the message.
 *
 * It may be kept for the least TTL of its records; a denial no longer than its SOA's MINIMUM, and not at all without SOA (RFC 2308 §5).
 */
export function readForeign(message: Buffer, questionEnd: number): ForeignAnswer | undefined {
  const walk = walkRecords(message, questionEnd);
  if (walk === undefined) return undefined;
  const rcode = (message.readUInt16BE(2) & 0xf) | (walk.upperRcode << 4);
  // Not of Node's pool: one small answer would retain 8 KiB.
  const kept = Buffer.allocUnsafeSlow(walk.end);
  message.copy(kept);
  for (const [index, count] of walk.counts.entries()) kept.writeUInt16BE(count, 6 + index * 2);
  return {
    message: kept,
    ttlAt: walk.ttlAt,
    echoes: Uint16Array.from(walk.echoes),
    rcode,
    ttlSeconds: lifetime(walk, rcode),
  };
}

function walkRecords(message: Buffer, questionEnd: number): Walk | undefined {
  const type = message.readUInt16BE(questionEnd - 4);
  const wanted = [6, 8, 10].map((at) => message.readUInt16BE(at));
  const echoes = echoFinder(message);
  const walk: Walk = {
    ttlAt: [],
    echoes: [],
    counts: [0, 0, 0],
    end: questionEnd,
    least: MAX_TTL_SECONDS,
    denial: undefined,
    hasAnswer: false,
    upperRcode: 0,
  };
  for (const [section, count] of wanted.entries()) {
    for (let index = 0; index < count; index++) {
      const nameEnd = skipName(message, walk.end);
      if (nameEnd === undefined || nameEnd + 10 > message.length) return undefined;
      const end = nameEnd + 10 + message.readUInt16BE(nameEnd + 8);
      if (end > message.length) return undefined;
      const recordType = message.readUInt16BE(nameEnd);
      if (recordType === TYPE.OPT) {
        walk.upperRcode = message[nameEnd + 4] as number;
        // OPT comes last as a rule. What follows is additional, and nothing before can point to it.
        return section === 2 ? walk : undefined;
      }
      walk.echoes.push(...echoes({ at: walk.end, type: recordType, data: nameEnd + 10, end }));
      take(walk, message, section, { recordType, type, nameEnd, end });
    }
  }
  return walk;
}

function take(
  walk: Walk,
  message: Buffer,
  section: number,
  at: { readonly recordType: number; readonly type: number; readonly nameEnd: number; readonly end: number },
): void {
  walk.least = Math.min(walk.least, readTtl(message, at.nameEnd + 4));
  walk.ttlAt.push(at.nameEnd + 4);
  walk.counts[section] = (walk.counts[section] ?? 0) + 1;
  walk.end = at.end;
  if (section === 0 && (at.recordType === at.type || at.type === TYPE.ANY)) walk.hasAnswer = true;
  if (section === 1 && at.recordType === TYPE.SOA && at.end - at.nameEnd >= 30)
    walk.denial = message.readUInt32BE(at.end - 4);
}

/** A TTL with its highest bit set is 0 (RFC 2181 §8). */
function readTtl(message: Buffer, at: number): number {
  const ttl = message.readUInt32BE(at);
  return ttl > 0x7fffffff ? 0 : ttl;
}

function lifetime({ least, denial, hasAnswer, ttlAt }: Walk, rcode: number): number {
  if (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) return FAILURE_SECONDS;
  if (rcode === RCODE.NOERROR && hasAnswer) return least;
  if (denial !== undefined) return Math.min(least, denial, MAX_DENIAL_SECONDS);
  // A CNAME whose target the upstream did not follow is an answer, too.
  return rcode === RCODE.NOERROR && ttlAt.length > 0 ? least : 0;
}

/** The addresses in an answer, whatever name they have there, with the TTL that is left to them. */
export function addressesIn(
  { message, ttlAt }: ForeignAnswer,
  type: number,
  { ageSeconds, staleTtlSeconds }: Pick<PassOn, "ageSeconds" | "staleTtlSeconds">,
): readonly { readonly address: string; readonly ttlSeconds: number }[] {
  const octets = type === TYPE.A ? 4 : 16;
  return ttlAt.slice(0, message.readUInt16BE(6)).flatMap((at) => {
    const isAddress = message.readUInt16BE(at - 4) === type && message.readUInt16BE(at + 4) === octets;
    if (!isAddress) return [];
    const address = ipaddr.fromByteArray([...message.subarray(at + 6, at + 6 + octets)]).toString();
    return [{ address, ttlSeconds: staleTtlSeconds ?? Math.max(0, readTtl(message, at) - ageSeconds) }];
  });
}

/** How an answer of others is passed on. */
export interface PassOn {
  readonly ageSeconds: number;
  /** Its time is over: every record has this TTL (RFC 8767 §4). */
  readonly staleTtlSeconds?: number | undefined;
  readonly recursionAvailable: boolean;
}

/**
 * Write someone else's answer to `out` as the answer to `packet`, without OPT: ID, RD, CD and the question's bytes are the query's, wherever they
 * are repeated; no AA, as
 * the data are not ours (RFC 1035 §4.1.1); AD only to clients that understand it (RFC 6840 §5.8). Gives the length.
 */
export function writeForeign(
  answer: ForeignAnswer,
  packet: Uint8Array,
  out: Buffer,
  how: PassOn & { dnssecOk: boolean },
): number {
  const { message, ttlAt, echoes, rcode } = answer;
  message.copy(out);
  out[0] = packet[0] as number;
  out[1] = packet[1] as number;
  out[2] = 0x80 | ((packet[2] as number) & 1);
  const wantsAd = how.dnssecOk || ((packet[3] as number) & 0x20) !== 0;
  const ad = wantsAd ? (message[3] as number) & 0x20 : 0;
  out[3] = (how.recursionAvailable ? 0x80 : 0) | ad | ((packet[3] as number) & 0x10) | (rcode & 0xf);
  let at = HEADER_BYTES;
  // The question's length is that of the query's, as its bytes are but for their case.
  for (; (message[at] as number) !== 0; at += 1 + (message[at] as number)) {}
  for (let copied = HEADER_BYTES; copied < at; copied++) out[copied] = packet[copied] as number;
  for (let echo = 0; echo < echoes.length; echo += 3) {
    const [to = 0, from = 0, length = 0] = echoes.subarray(echo, echo + 3);
    out.set(packet.subarray(from, from + length), to);
  }
  for (const place of ttlAt) {
    out.writeUInt32BE(how.staleTtlSeconds ?? Math.max(0, readTtl(message, place) - how.ageSeconds), place);
  }
  return message.length;
}
