import { TYPE } from "./codes.ts";
import { MAX_NAME_BYTES } from "./sizes.ts";

/**
 * Types with names in their data: octets before the names, and how many there are. Those of RFC 1035 may be compressed (RFC 3597 §4), and
 * SRV of old servers.
 */
export const NAMES_IN: Readonly<Record<number, readonly [before: number, names: number]>> = {
  [TYPE.NS]: [0, 1],
  [TYPE.CNAME]: [0, 1],
  [TYPE.PTR]: [0, 1],
  [TYPE.DNAME]: [0, 1],
  [TYPE.SOA]: [0, 2],
  [TYPE.MX]: [2, 1],
  [TYPE.SRV]: [6, 1],
  [TYPE.SVCB]: [2, 1],
  [TYPE.HTTPS]: [2, 1],
};

/** A label in a message. */
export interface LabelPlace {
  /** Of its first octet. */
  readonly at: number;
  readonly length: number;
}

const MAX_POINTERS = 32;

/** The labels of the name at `start`, pointers followed; undefined if it is none. */
export function labelPlaces(message: Uint8Array, start: number): readonly LabelPlace[] | undefined {
  const places: LabelPlace[] = [];
  let bytes = 1;
  let pointers = 0;
  for (let at = start; at < message.length; ) {
    const length = message[at] as number;
    if (length === 0) return places;
    if (length >= 0xc0) {
      at = ((length & 0x3f) << 8) | (message[at + 1] ?? 0xff);
      if (++pointers > MAX_POINTERS) return undefined;
      continue;
    }
    bytes += 1 + length;
    if (length > 63 || bytes > MAX_NAME_BYTES || at + 1 + length > message.length) return undefined;
    places.push({ at: at + 1, length });
    at += 1 + length;
  }
  return undefined;
}
