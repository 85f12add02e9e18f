import type { Json } from "./forms.ts";

/** An answer to compare. */
export interface Compared {
  /** Null: the connection was closed. */
  readonly status: number | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/**
 * What may differ between two servers that are told the same, and why. Nothing else may.
 *
 * All of it is replaced rather than removed: a field that is missing, or of another type, is still a difference.
 */
export const MAY_DIFFER: Readonly<Record<string, string>> = {
  "header Date": "the clock",
  "header Connection": "the recording client asked for its end after each answer",
  "header Keep-Alive": "the same",
  "order of a list": "the real server's is random, too; pages of the console are compared as parts of the whole list",
  "header Content-Length of a page of services, and of a login":
    "their services, and its token, are not those recorded",
  ctime: "the clock",
  mtime: "the clock",
  "internal-lastheartbeat": "the clock",
  "id of a service or alias": "random; the ids of instances follow from what they are and must agree",
  revision: "random for an instance and a service; compared by which revisions are equal to which",
};

const CLOCK = new Set(["ctime", "mtime", "internal-lastheartbeat"]);

/** Stands for values by the order in which they first appear, so that two sequences agree if their equalities do. */
export interface Numbering {
  of(value: string): string;
  /** Like `of`, for a value that may not have appeared; it gets no number then. */
  known(value: string): string | undefined;
  /** The value of a number. */
  named(number: string | undefined): string | undefined;
}

/** No value seen yet. */
export function createNumbering(): Numbering {
  const seen = new Map<string, string>();
  return {
    of(value) {
      const known = seen.get(value);
      if (known !== undefined) return known;
      const made = `#${seen.size + 1}`;
      seen.set(value, made);
      return made;
    },
    known: (value) => seen.get(value),
    named: (number) => [...seen].find(([, one]) => one === number)?.[0],
  };
}

/** sha1 of nothing: no matter of chance, so it must agree as it is. */
const NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

const masked = (value: unknown): unknown => (typeof value === "string" ? value.replace(/[0-9a-f]/g, "0") : value);

function meaningOf(field: string, value: unknown, numbering: Numbering): unknown {
  if (CLOCK.has(field)) return typeof value === "string" ? value.replace(/\d/g, "0") : value;
  if (field === "id" && typeof value === "string" && /^[0-9a-f]{32}$/.test(value)) return masked(value);
  if (field === "revision" && typeof value === "string" && value !== NOTHING) return numbering.of(value);
  return meaning(value, numbering);
}

const sortKey = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return String(value);
  const { namespace, alias_namespace, name, alias, service, host, port } = value as Json;
  return [alias_namespace ?? namespace, name ?? alias ?? service, host, port].join("\n");
};

/** A body without what may differ; revisions become numbers. */
export function meaning(value: unknown, numbering: Numbering): unknown {
  if (Array.isArray(value)) {
    const sorted = [...value].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
    return sorted.map((item) => meaning(item, numbering));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([field, item]) => [field, meaningOf(field, item, numbering)]));
}

const SKIPPED = new Set(["date", "connection", "keep-alive"]);

/** An answer in words. Order of the fields, which is that of the protocol, is part of it. */
export function inWords(answer: Compared, numbering: Numbering, unsized = false): string {
  const headers = Object.entries(answer.headers)
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !SKIPPED.has(name) && !(unsized && name === "content-length"))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const body = meaning(answer.body, numbering);
  return JSON.stringify({ status: answer.status, headers: Object.fromEntries(headers), body }, null, 1);
}
