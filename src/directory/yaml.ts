import { LineCounter, parseAllDocuments, parseDocument } from "yaml";

/** One document of a file. */
export interface YamlDocument {
  readonly value: unknown;
  /** As it stands in the file, without the `---` before it. */
  readonly text: string;
}

/** What a file holds, or why it cannot be read: `line 7: …`. */
export type YamlFile = { readonly documents: readonly YamlDocument[] } | { readonly problem: string };

/** Fields in the order of Kubernetes' own examples; all others follow alphabetically. */
const FIELD_ORDER =
  "apiVersion kind metadata name namespace hosts address addresses type externalName number port protocol targetPort ports labels annotations spec data location resolution endpoints http match route destination host locality weight exportTo";
const RANK: ReadonlyMap<string, number> = new Map(FIELD_ORDER.split(" ").map((field, index) => [field, index]));

/** A string that no YAML 1.1 or 1.2 reader takes for anything else: a word, a path, an IPv4 address. */
const PLAIN = /^(?:[A-Za-z/][\w./@-]*(?::[\w./@-]+)*|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$/;
const RESERVED = /^(?:true|false|yes|no|on|off|null|y|n)$/i;

/** One document in block style, keys in a fixed order, ending with a line end. The same data always gives the same text. */
export function toYaml(value: Readonly<Record<string, unknown>>): string {
  return block(value, "");
}

function block(value: object, pad: string): string {
  if (Array.isArray(value))
    return value
      .map(
        (item) =>
          `${pad}- ${item !== null && typeof item === "object" && !isEmpty(item) ? block(item, `${pad}  `).slice(pad.length + 2) : `${scalar(item)}\n`}`,
      )
      .join("");
  return sortedEntries(value)
    .map(
      ([key, item]) =>
        `${pad}${string(key)}:${item !== null && typeof item === "object" && !isEmpty(item) ? `\n${block(item, `${pad}  `)}` : ` ${scalar(item)}\n`}`,
    )
    .join("");
}

function sortedEntries(value: object): [string, unknown][] {
  const rank = (key: string) => RANK.get(key) ?? RANK.size;
  return Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

function isEmpty(value: object): boolean {
  return Array.isArray(value) ? value.length === 0 : Object.values(value).every((item) => item === undefined);
}

function scalar(value: unknown): string {
  if (typeof value === "string") return string(value);
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "[]" : "{}";
  return String(value ?? null);
}

function string(text: string): string {
  return PLAIN.test(text) && !RESERVED.test(text) ? text : JSON.stringify(text);
}

/**
 * All documents of a file.
 *
 * A file as `toYaml` writes it is read by a small reader, 14 times faster than a whole YAML parser; that it read rightly is
 * known from writing the data again: only an equal text counts. Everything else goes to the YAML parser.
 */
export function parseYaml(text: string): YamlFile {
  const parts = text === "" ? [] : text.split(/^---\n/m);
  const documents: YamlDocument[] = [];
  for (const part of parts) {
    const value = readOwn(part);
    if (value === undefined || part === "" || toYaml(value) !== part) return parseAny(text);
    documents.push({ value, text: part });
  }
  return { documents };
}

function parseAny(text: string): YamlFile {
  const lines = new LineCounter();
  try {
    const parsed = [...parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" })];
    const [error] = parsed.flatMap(({ errors }) => errors);
    if (error !== undefined)
      return { problem: `line ${lines.linePos(error.pos[0]).line}: ${error.message.split("\n")[0]}` };
    const documents = parsed.map((document, at) => ({
      value: document.toJS() as unknown,
      text: withoutMarker(
        text.slice(at === 0 ? firstStart(text, document.range[0]) : document.range[0], document.range[1]),
      ),
    }));
    return { documents: documents.filter(({ value }) => value !== null) };
  } catch (error) {
    return { problem: `line 1: ${error instanceof Error ? error.message : String(error)}` }; // an alias bomb
  }
}

/**
 * Anyone's document with other values of some fields in one of its sections; all else stays as it stands, comments too.
 *
 * @throws When the section is no mapping of its own.
 */
export function withFields(text: string, section: string, fields: Readonly<Record<string, unknown>>): string {
  const document = parseDocument(text);
  for (const [field, value] of Object.entries(fields)) document.setIn([section, field], document.createNode(value));
  return document.toString({ lineWidth: 0, flowCollectionPadding: /[[{] /.test(text) });
}

/** The comments above a file's first document belong to it. */
function firstStart(text: string, start: number): number {
  return /^(?:%|---)/m.test(text.slice(0, start)) ? start : 0;
}

function withoutMarker(text: string): string {
  const body = text.replace(/^---(?: |\r?\n|$)/, "");
  return body.endsWith("\n") ? body : `${body}\n`;
}

interface Line {
  indent: number;
  text: string;
}

const ENTRY = /^("(?:[^"\\]|\\.)*"|[^"\s]\S*?):(?: (.+))?$/;

function readOwn(text: string): Record<string, unknown> | undefined {
  const lines = text.split("\n").map((line): Line => {
    const content = line.trimStart();
    return { indent: line.length - content.length, text: content };
  });
  if (lines.pop()?.text !== "") return undefined;
  try {
    const value = readBlock({ lines, next: 0 }, 0);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // not our own form
  }
}

interface Cursor {
  readonly lines: Line[];
  next: number;
}

function readBlock(cursor: Cursor, indent: number): unknown {
  const list: unknown[] = [];
  const map: Record<string, unknown> = {};
  let isList = false;
  for (let line = cursor.lines[cursor.next]; line?.indent === indent; line = cursor.lines[cursor.next]) {
    if (line.text.startsWith("- ")) {
      isList = true;
      list.push(readItem(cursor, line, indent));
    } else {
      const [, key = "", rest] = ENTRY.exec(line.text) ?? [];
      cursor.next++;
      map[readScalar(key) as string] = rest === undefined ? readBlock(cursor, indent + 2) : readScalar(rest);
    }
  }
  return isList ? list : map;
}

function readItem(cursor: Cursor, line: Line, indent: number): unknown {
  const text = line.text.slice(2);
  if (!text.startsWith("- ") && !ENTRY.test(text)) {
    cursor.next++;
    return readScalar(text);
  }
  cursor.lines[cursor.next] = { indent: indent + 2, text }; // the item's first line, as if it stood on its own
  return readBlock(cursor, indent + 2);
}

function readScalar(text: string): unknown {
  if (
    text.startsWith('"') ||
    text === "{}" ||
    text === "[]" ||
    text === "true" ||
    text === "false" ||
    text === "null" ||
    /^-?\d+(?:\.\d+)?(?:e[-+]\d+)?$/.test(text)
  )
    return JSON.parse(text) as unknown;
  return text;
}
