import type { LegacyName } from "./naming.ts";

/** Write the names annotation: every DNS name of a service besides its host. */
export function writeNames(names: readonly LegacyName[]): string {
  return JSON.stringify(names.map(({ name }) => ({ name })));
}

/** Read the names annotation; what cannot be read gives no names. */
export function readNames(annotation: string | undefined): readonly string[] {
  if (annotation === undefined) return [];
  try {
    const rows: unknown = JSON.parse(annotation);
    if (!Array.isArray(rows)) return [];
    return rows.flatMap((row: unknown) =>
      typeof row === "object" && row !== null && "name" in row && typeof row.name === "string" ? [row.name] : [],
    );
  } catch {
    return [];
  }
}
