import { randomBytes } from "node:crypto";
import { CLASS_IN } from "../wire/codes.ts";
import { writeOpt } from "../wire/opt.ts";
import { HEADER_BYTES, OPT_BYTES } from "../wire/sizes.ts";
import { encodeName } from "../wire/wire-name.ts";

/** Header bits of a query that are passed on: RD, and CD (RFC 4035 §3.2.2). */
const PASSED_ON = 0x0110;
/** "I know what AD means" (RFC 6840 §5.7). */
const FLAG_AD = 0x0020;

/** What is asked of an upstream, whoever wants to know. */
export interface Asked {
  /** One text for all questions that have the same answer. */
  readonly key: string;
  /** Name in lower case, type and class on the wire. */
  readonly question: Buffer;
  /** RD and CD as in the header. */
  readonly flags: number;
  readonly dnssecOk: boolean;
}

/** What a client's query asks; `questionEnd` is the offset after its question. */
export function askedOf(packet: Uint8Array, questionEnd: number, dnssecOk: boolean): Asked {
  const question = lowerCase(packet, questionEnd);
  const flags = flagsOf(packet);
  return { key: keyFor(question, question.length, flags, dnssecOk), question, flags, dnssecOk };
}

/** A question of our own for `name`, with RD; undefined if that can be none. */
export function askedFor(name: string, type: number): Asked | undefined {
  const octets = encodeName(name);
  return octets === undefined ? undefined : askedForOctets(octets, type);
}

/** A question of our own for a name on the wire, with RD. */
export function askedForOctets(name: Uint8Array, type: number): Asked {
  const header = Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const packet = Buffer.concat([header, name, Buffer.from([0, type, 0, CLASS_IN])]);
  return askedOf(packet, packet.length, false);
}

/** Makes the same keys as `askedOf`, and no more. */
export function keyMaker(): (packet: Uint8Array, questionEnd: number, dnssecOk: boolean) => string {
  const scratch = Buffer.alloc(260);
  return (packet, questionEnd, dnssecOk) => {
    const length = questionEnd - HEADER_BYTES;
    for (let at = 0; at < length; at++) scratch[at] = lower(packet, HEADER_BYTES + at, questionEnd - 4);
    return keyFor(scratch, length, flagsOf(packet), dnssecOk);
  };
}

/**
 * A query of our own with that question: EDNS is a matter between neighbours (RFC 6891 §6.1.1), so none of the client's options goes along.
 *
 * @param mixCase letters of the name in random case, which the answer has to repeat (draft-vixie-dnsext-dns0x20)
 */
export function upstreamQuery(asked: Asked, id: number, mixCase: boolean): Buffer {
  const { question, flags, dnssecOk } = asked;
  const end = HEADER_BYTES + question.length;
  const packet = Buffer.alloc(end + OPT_BYTES);
  packet.writeUInt16BE(id, 0);
  packet.writeUInt16BE(flags | FLAG_AD, 2);
  packet.writeUInt16BE(1, 4);
  packet.writeUInt16BE(1, 10);
  question.copy(packet, HEADER_BYTES);
  if (mixCase) mix(packet, end - 4);
  writeOpt(packet, end, dnssecOk);
  return packet;
}

/**
 * Whether `message` answers `query`: equal ID, opcode and question (RFC 5452 §9.1). "case": all but the case of its letters, which may be
 * a forgery or a server that does not keep the case.
 */
export function matchAnswer(query: Buffer, message: Buffer): "yes" | "case" | "no" {
  const end = query.length - OPT_BYTES;
  const isAnswer =
    message.length >= end &&
    message.readUInt16BE(0) === query.readUInt16BE(0) &&
    (message.readUInt16BE(2) & 0xf800) === 0x8000 &&
    message.readUInt16BE(4) === 1;
  if (!isAnswer) return "no";
  if (message.compare(query, HEADER_BYTES, end, HEADER_BYTES, end) === 0) return "yes";
  return lowerCase(message, end).equals(lowerCase(query, end)) ? "case" : "no";
}

function keyFor(question: Buffer, length: number, flags: number, dnssecOk: boolean): string {
  return question.toString("latin1", 0, length) + String.fromCharCode((flags >> 4) | (dnssecOk ? 1 << 6 : 0));
}

function flagsOf(packet: Uint8Array): number {
  return (((packet[2] as number) << 8) | (packet[3] as number)) & PASSED_ON;
}

function lowerCase(packet: Uint8Array, questionEnd: number): Buffer {
  const question = Buffer.from(packet.subarray(HEADER_BYTES, questionEnd));
  for (let at = 0; at < question.length; at++) question[at] = lower(packet, HEADER_BYTES + at, questionEnd - 4);
  return question;
}

/** An octet of a question, ASCII letters of its name in lower case. Lengths of labels are below 64. */
function lower(packet: Uint8Array, at: number, nameEnd: number): number {
  const octet = packet[at] as number;
  return at < nameEnd && octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}

function mix(packet: Buffer, nameEnd: number): void {
  const noise = randomBytes(nameEnd - HEADER_BYTES);
  for (let at = HEADER_BYTES; at < nameEnd; at++) {
    const octet = packet[at] as number;
    if (octet >= 0x61 && octet <= 0x7a) packet[at] = octet ^ ((noise[at - HEADER_BYTES] as number) & 0x20);
  }
}
