import { setImmediate as turnOfLoop } from "node:timers/promises";
import { escapedText } from "../text.ts";

const INDENT = "  ";
const TURN_MS = 10;

/**
 * What `JSON.stringify(value, null, 2)` gives, with what a terminal would obey escaped. The items of long lists are written one by one, and the event loop turns now
 * and then: an answer of several megabytes holds up no DNS answer.
 */
export async function jsonText(value: unknown): Promise<string> {
  const parts: string[] = [];
  let endMs = performance.now() + TURN_MS;
  for (const part of partsOf(value, "")) {
    parts.push(escapedText(part));
    if (performance.now() < endMs) continue;
    await turnOfLoop();
    endMs = performance.now() + TURN_MS;
  }
  return parts.join("");
}

/** Lists are divided at the top and directly below it. */
function* partsOf(value: unknown, indent: string): Generator<string, void, undefined> {
  if (Array.isArray(value)) yield* listOf(value, indent);
  else if (indent === "" && isPlain(value)) yield* fieldsOf(value, indent);
  else yield whole(value, indent);
}

function* listOf(items: readonly unknown[], indent: string): Generator<string, void, undefined> {
  if (items.length === 0) return yield "[]";
  const inner = indent + INDENT;
  for (const [at, item] of items.entries()) yield `${at === 0 ? "[" : ","}\n${inner}${whole(item ?? null, inner)}`;
  yield `\n${indent}]`;
}

function* fieldsOf(value: object, indent: string): Generator<string, void, undefined> {
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  if (fields.length === 0) return yield "{}";
  const inner = indent + INDENT;
  for (const [at, [name, field]] of fields.entries()) {
    yield `${at === 0 ? "{" : ","}\n${inner}${JSON.stringify(name)}: `;
    yield* partsOf(field, inner);
  }
  yield `\n${indent}}`;
}

function whole(value: unknown, indent: string): string {
  return JSON.stringify(value, null, INDENT).replaceAll("\n", `\n${indent}`);
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
