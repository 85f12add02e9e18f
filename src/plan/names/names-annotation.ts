import type { LegacyName } from "./naming.ts";

/** A name of the annotation. */
export interface WrittenName {
  readonly name: string;
  /** When it came from another entry, RFC 3339: of several entries that have a name the one answers to which it came last. */
  readonly since?: string;
}

/** Write the names annotation: every DNS name of a service besides its host. */
export function writeNames(names: readonly (WrittenName | LegacyName)[]): string {
  return JSON.stringify(names.map(({ name, since }) => (since === undefined ? { name } : { name, since })));
}

/** Read the names annotation; what cannot be read gives no names. */
export function readNames(annotation: string | undefined): readonly string[] {
  return readWrittenNames(annotation).map(({ name }) => name);
}

/** The same with all that it says of a name. */
export function readWrittenNames(annotation: string | undefined): readonly WrittenName[] {
  if (annotation === undefined) return [];
  try {
    const rows: unknown = JSON.parse(annotation);
    return Array.isArray(rows) ? rows.flatMap(writtenName) : [];
  } catch {
    return [];
  }
}

function writtenName(row: unknown): readonly WrittenName[] {
  if (typeof row !== "object" || row === null || !("name" in row) || typeof row.name !== "string") return [];
  const { name } = row;
  const since =
    "since" in row && typeof row.since === "string" && !Number.isNaN(Date.parse(row.since)) ? row.since : undefined;
  return [since === undefined ? { name } : { name, since }];
}
