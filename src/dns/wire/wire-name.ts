import { MAX_NAME_BYTES } from "./sizes.ts";

const DOT = 0x2e;
const BACKSLASH = 0x5c;

/** A name as it stood on the wire. */
export interface WireName {
  /** ASCII letters in lower case (RFC 4343 §3), no trailing dot; the root is "". Other octets as `\DDD` (RFC 1035 §5.1). */
  readonly name: string;
  /** Offset of the octet after the name. */
  readonly end: number;
}

/**
 * Read a name that is written out in full; undefined if it is none.
 *
 * A compression pointer is refused: a question's name has nothing before it that it could point to (RFC 1035 §4.1.4).
 * A dot inside a label becomes `\046`, so that the two-label name `a.b` and the one-label name `a\046b` stay two names.
 */
export function readName(packet: Uint8Array, start: number): WireName | undefined {
  let name = "";
  for (let at = start; at < packet.length; ) {
    const length = packet[at] as number;
    if (length === 0) return at + 1 - start > MAX_NAME_BYTES ? undefined : { name, end: at + 1 };
    const end = at + 1 + length;
    if (length > 63 || end >= packet.length || end - start >= MAX_NAME_BYTES) return undefined;
    if (at !== start) name += ".";
    for (at++; at < end; at++) name += characterOf(packet[at] as number);
  }
  return undefined;
}

/**
 * Offset after the name at `start`, or undefined if it is malformed. Pointers are not followed, which keeps the cost linear
 * whatever the sender made of them; each must lead backwards (RFC 1035 §4.1.4).
 */
export function skipName(packet: Uint8Array, start: number): number | undefined {
  for (let at = start; at < packet.length; ) {
    const length = packet[at] as number;
    if (length === 0) return at + 1;
    if (length >= 0xc0) {
      if (at + 2 > packet.length) return undefined;
      return (((length & 0x3f) << 8) | (packet[at + 1] as number)) < start ? at + 2 : undefined;
    }
    at += 1 + length;
    if (length > 63 || at - start >= MAX_NAME_BYTES) return undefined;
  }
  return undefined;
}

/** Octets of a name as `readName` gives it, ASCII letters in lower case; undefined if none can be on the wire. */
export function encodeName(name: string): Uint8Array | undefined {
  if (name === "") return new Uint8Array(1);
  const octets = new Uint8Array(MAX_NAME_BYTES);
  let end = 0;
  for (const label of name.toLowerCase().split(".")) {
    const start = ++end;
    for (let at = 0; at < label.length; at++, end++) {
      if (end >= MAX_NAME_BYTES - 1 || end - start === 63) return undefined;
      const isEscaped = label.charCodeAt(at) === BACKSLASH;
      octets[end] = isEscaped ? Number(label.slice(at + 1, at + 4)) : label.charCodeAt(at);
      if (isEscaped) at += 3;
    }
    if (end === start) return undefined;
    octets[start - 1] = end - start;
  }
  return octets.subarray(0, end + 1);
}

/** How many labels a name has; the root has none. */
export function labelsOf(name: string): number {
  if (name === "") return 0;
  let labels = 1;
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) labels++;
  return labels;
}

/** The name without its first label; the root has itself. A dot inside a label is `\046` in names, so cutting at dots cuts at labels. */
export function parentOf(name: string): string {
  const dot = name.indexOf(".");
  return dot < 0 ? "" : name.slice(dot + 1);
}

function characterOf(octet: number): string {
  if (octet >= 0x41 && octet <= 0x5a) return String.fromCharCode(octet + 0x20);
  if (octet > 0x20 && octet < 0x7f && octet !== DOT && octet !== BACKSLASH) return String.fromCharCode(octet);
  return `\\${String(octet).padStart(3, "0")}`;
}
