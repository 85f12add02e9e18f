import { ReadError } from "../src/errors.ts";

/** How large the value of a JSON text may be, whatever its length. */
export interface JsonLimits {
  /** Lists and mappings within one another. */
  readonly depth: number;
  /** Lists, mappings and commas: each costs some 50 octets once it is parsed, though `{},` is three octets of text. */
  readonly values: number;
}

/** Counts what is in a JSON text while its octets come in. */
export interface JsonScan {
  /** @throws {ReadError} As soon as a limit is passed. */
  add(octets: Uint8Array): void;
  /** Lists, mappings and commas so far. */
  values(): number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;

/** Count without parsing: the octets need not be JSON, and what is in strings counts for nothing. */
export function jsonScan({ depth: mostDepth, values: mostValues }: JsonLimits): JsonScan {
  let depth = 0;
  let values = 0;
  let isText = false;
  let isEscaped = false;

  function add(octets: Uint8Array): void {
    const { length } = octets;
    for (let at = 0; at < length; at++) {
      const octet = octets[at];
      if (isText) {
        if (isEscaped) isEscaped = false;
        else if (octet === BACKSLASH) isEscaped = true;
        else if (octet === QUOTE) isText = false;
      } else if (octet === QUOTE) isText = true;
      else if (octet === COMMA) values++;
      else if (octet === OPEN_LIST || octet === OPEN_MAP) {
        values++;
        if (++depth > mostDepth) throw new ReadError("answer", `is nested more than ${mostDepth} deep`);
      } else if (octet === CLOSE_LIST || octet === CLOSE_MAP) depth--;
    }
    if (values > mostValues) throw new ReadError("answer", `has more than ${mostValues} values`);
  }

  return { add, values: () => values };
}
