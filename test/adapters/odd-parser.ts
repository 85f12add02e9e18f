import type { Parser } from "../../adapters/parse.ts";
import { ReadError } from "../../src/errors.ts";

/** Does what the body says; a thread loads it from here. */
export function parseOddly(body: Uint8Array): unknown {
  const text = String(Buffer.from(body));
  if (text === "refuse") throw new ReadError("denied", "is refused");
  if (text === "hang") for (;;);
  const kept: number[][] = [];
  while (text === "devour") kept.push(new Array(10_000).fill(Math.random()));
  return { text };
}

/** Its parser. */
export const ODD_PARSER: Parser<unknown> = {
  module: import.meta.url,
  name: "parseOddly",
  parse: parseOddly,
  limits: { bytes: 1024, depth: 1, values: 1 },
};
