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

/**
 * An answer as a message of at most `maxBytes`. The header's ID and RD and the question's bytes, case included, are the query's.
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
    (flagsOf(query.packet) & (OPCODE_MASK | FLAG_RD)) |
    (reply.authoritative ? FLAG_AA : 0) |
    (options.recursionAvailable ? FLAG_RA : 0) |
    (reply.rcode & 0xf);
  const opt = encodeOpt(query, reply.rcode, options.edns);
  if (query.questionEnd + records.length + opt.length > options.maxBytes)
    return assemble(query, flags | FLAG_TC, NOTHING, [0, 0], opt);
  return assemble(query, flags, records, [reply.answers.length, reply.authority.length], opt);
}

/** An answer without records that makes the client ask again by TCP. */
export function truncated(query: Query): Buffer {
  const flags = FLAG_QR | FLAG_TC | (flagsOf(query.packet) & (OPCODE_MASK | FLAG_RD));
  return assemble(query, flags, NOTHING, [0, 0], encodeOpt(query, 0));
}

/**
 * Someone else's answer as a message of at most `maxBytes`, as the answer to `query`: see `writeForeign`, and the OPT record is ours. One that is
 * too long becomes its header and question with TC set (RFC 2181 §9).
 */
export function encodeForeign(
  query: Query,
  answer: ForeignAnswer,
  options: PassOn & { readonly maxBytes: number; readonly edns?: EdnsOptions },
): Buffer {
  const opt = encodeOpt(query, answer.rcode, options.edns);
  const out = Buffer.allocUnsafe(answer.message.length + opt.length);
  const end = writeForeign(answer, query.packet, out, { ...options, dnssecOk: query.edns?.dnssecOk ?? false });
  opt.copy(out, end);
  if (opt.length > 0) out.writeUInt16BE(out.readUInt16BE(10) + 1, 10);
  if (out.length <= options.maxBytes) return out;
  return assemble(query, flagsOf(out) | FLAG_TC, NOTHING, [0, 0], opt);
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
