import { type Gate, gate } from "../src/async/gate.ts";
import { ReadError } from "../src/errors.ts";
import { answerBody, answerBudget } from "./answer-body.ts";
import type { ReadJson } from "./contract.ts";
import { isHeavy, type Parser, parseApart } from "./parse.ts";

const JSON_PARSER: Parser<unknown> = {
  module: import.meta.url,
  name: "parseJson",
  parse: parseJson,
  limits: { bytes: 64 * 1024 * 1024, depth: 64, values: 1_000_000 },
};

/** Reads the answers of one registry, which share a budget; heavy ones are parsed one at a time, as `turn` lets them. */
export function jsonReader(turn: Gate = gate(1)): ReadJson {
  const budget = answerBudget();
  return async (answer, signal = new AbortController().signal) => {
    const body = answerBody(JSON_PARSER.limits, budget);
    try {
      for await (const piece of answer.body ?? []) {
        signal.throwIfAborted();
        body.add(piece);
      }
      const octets = body.whole();
      if (!isHeavy(octets, body.values())) return parseJson(octets);
      return (await turn(() => parseApart(JSON_PARSER, octets, signal), signal)).result;
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      throw new ReadError(
        error.failure,
        `the answer of ${new URL(answer.url || "about:blank").host || "the registry"} ${error.message}`,
      );
    } finally {
      body.drop();
    }
  };
}

/** The value of a JSON text in UTF-8. @throws {ReadError} */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    // The parser's message quotes the body.
    throw new ReadError("answer", `is no JSON (${cause instanceof SyntaxError ? "syntax" : "encoding"})`);
  }
}
