import { type ForeignAnswer, type PassOn, writeForeign } from "./foreign.ts";
import { FLAG_AA, FLAG_QR, FLAG_RA, FLAG_RD, FLAG_TC, flagsOf, OPCODE_MASK } from "./header.ts";
import { writeOpt } from "./opt.ts";
import type { Query } from "./query.ts";
import { encodeRecords, type ResourceRecord } from "./records.ts";
import { HEADER_BYTES, OPT_BYTES } from "./sizes.ts";

const NOTHING = Buffer.alloc(0);

/** Data of options of an answer, by code. */
export type EdnsOptions = Readonly<Record<number, Uint8Array>>;

/** An answer before it is encoded. */
export interface Reply {
  readonly rcode: number;
  /** AA: the data are ours (RFC 1035 §4.1.1). */
  readonly authoritative: boolean;
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
}

/** By TCP there is no further way to ask. */
const MAX_MESSAGE_BYTES = 0xffff;

/**
 * An answer as a message of at most `maxBytes`. The header's ID and RD and the question's bytes, case included, are the query's.
 * As many whole records as fit are there, and TC is set where some do not: RFC 2181 §9 lets clients ignore these, and those that know no TCP
 * use them. An OPT record is there exactly if the query had one (RFC 6891 §7).
 */
export function encodeReply(
  query: Query,
  reply: Reply,
  options: { readonly maxBytes: number; readonly recursionAvailable: boolean; readonly edns?: EdnsOptions },
): Buffer {
  const opt = encodeOpt(query, reply.rcode, options.edns);
  const records = [...reply.answers, ...reply.authority];
  const { octets, count } = encodeRecords(query, records, options.maxBytes - query.questionEnd - opt.length);
  const isCut = count < records.length && options.maxBytes < MAX_MESSAGE_BYTES;
  const flags =
    FLAG_QR |
    (flagsOf(query.packet) & (OPCODE_MASK | FLAG_RD)) |
    (reply.authoritative ? FLAG_AA : 0) |
    (isCut ? FLAG_TC : 0) |
    (options.recursionAvailable ? FLAG_RA : 0) |
    (reply.rcode & 0xf);
  const answers = Math.min(count, reply.answers.length);
  return assemble(query, flags, octets, [answers, count - answers], opt);
}

/** An answer without records that makes the client ask again by TCP. */
export function truncated(query: Query): Buffer {
  const flags = FLAG_QR | FLAG_TC | (flagsOf(query.packet) & (OPCODE_MASK | FLAG_RD));
  return assemble(query, flags, NOTHING, [0, 0], encodeOpt(query, 0));
}

/**
 * Someone else's answer as a message of at most `maxBytes`, as the answer to `query`: see `writeForeign`, and the OPT record is ours. Of one that
 * is too long as many whole records as fit are there; TC is set where it is more than additional ones that do not (RFC 2181 §9).
 */
export function encodeForeign(
  query: Query,
  answer: ForeignAnswer,
  options: PassOn & { readonly maxBytes: number; readonly edns?: EdnsOptions },
): Buffer {
  const opt = encodeOpt(query, answer.rcode, options.edns);
  const out = Buffer.allocUnsafe(answer.message.length + opt.length);
  const whole = writeForeign(answer, query.packet, out, { ...options, dnssecOk: query.edns?.dnssecOk ?? false });
  const end = whole + opt.length <= options.maxBytes ? whole : cut(out, answer, query, options.maxBytes - opt.length);
  opt.copy(out, end);
  if (opt.length > 0) out.writeUInt16BE(out.readUInt16BE(10) + 1, 10);
  return out.subarray(0, end + opt.length);
}

/** Leave out the records behind `most` octets; gives the end of the last one that is left. No name points forwards. */
function cut(out: Buffer, { ttlAt }: ForeignAnswer, { questionEnd }: Query, most: number): number {
  const ends = ttlAt.map((at) => at + 6 + out.readUInt16BE(at + 4)).filter((end) => end <= most);
  const counts = [6, 8, 10].map((at) => out.readUInt16BE(at));
  const needed = (counts[0] ?? 0) + (counts[1] ?? 0);
  if (ends.length < needed) out.writeUInt16BE(flagsOf(out) | FLAG_TC, 2);
  let left = ends.length;
  for (const [section, count] of counts.entries()) {
    out.writeUInt16BE(Math.min(left, count), 6 + section * 2);
    left -= Math.min(left, count);
  }
  return ends.at(-1) ?? questionEnd;
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

function encodeOpt({ edns }: Query, rcode: number, options: EdnsOptions = {}): Buffer {
  if (edns === undefined) return NOTHING;
  const data = encodeOptions(options);
  const opt = Buffer.concat([Buffer.alloc(OPT_BYTES), data]);
  writeOpt(opt, 0, edns.dnssecOk, rcode >> 4, data.length);
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
