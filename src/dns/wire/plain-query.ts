import { CLASS_IN, TYPE } from "./codes.ts";
import { writeOpt } from "./opt.ts";
import { HEADER_BYTES, MAX_NAME_BYTES, OPT_BYTES } from "./sizes.ts";

/** Offset after the question of a query that holds no more than that, in IN, and perhaps an OPT record without options; else 0. */
export function plainQuestionEnd(packet: Uint8Array): number {
  const { length } = packet;
  // QR, opcode, AA and TC are 0, RD may be 1; RA and the code are 0.
  if (length < HEADER_BYTES + 5 || ((packet[2] as number) & 0xfe) !== 0 || ((packet[3] as number) & 0x8f) !== 0)
    return 0;
  if (packet[4] !== 0 || packet[5] !== 1 || packet[10] !== 0 || (packet[11] as number) > 1) return 0;
  if (packet[6] !== 0 || packet[7] !== 0 || packet[8] !== 0 || packet[9] !== 0) return 0;
  let end = HEADER_BYTES;
  for (let label = packet[end] as number; label !== 0; label = packet[end] as number) {
    end += 1 + label;
    if (label > 63 || end >= length) return 0;
  }
  end++;
  if (end - HEADER_BYTES > MAX_NAME_BYTES || end + 4 > length) return 0;
  if (packet[end + 2] !== 0 || packet[end + 3] !== CLASS_IN) return 0;
  end += 4;
  if (packet[11] === 0) return length === end ? end : 0;
  return length === end + OPT_BYTES && isPlainOpt(packet, end) ? end : 0;
}

/** Root, OPT, any size and upper code bits, version 0, any flags, no options (RFC 6891 §6.1.2). */
function isPlainOpt(packet: Uint8Array, at: number): boolean {
  return (
    packet[at] === 0 &&
    packet[at + 1] === 0 &&
    packet[at + 2] === TYPE.OPT &&
    packet[at + 6] === 0 &&
    packet[at + 9] === 0 &&
    packet[at + 10] === 0
  );
}

/** The DO bit of a plain query (RFC 3225 §3). */
export function isDnssecOk(packet: Uint8Array, questionEnd: number): boolean {
  return packet[11] === 1 && ((packet[questionEnd + 7] as number) & 0x80) !== 0;
}

/** The type that a query with its question up to `questionEnd` asks for. */
export function askedType(packet: Uint8Array, questionEnd: number): number {
  return ((packet[questionEnd - 4] as number) << 8) | (packet[questionEnd - 3] as number);
}

/** End an answer of `length` octets with an OPT record if the plain query has one; gives the new length. DO is copied (RFC 3225 §3). */
export function appendOpt(packet: Uint8Array, questionEnd: number, out: Uint8Array, length: number): number {
  if (packet[11] === 0) return length;
  writeOpt(out, length, isDnssecOk(packet, questionEnd));
  return length + OPT_BYTES;
}
