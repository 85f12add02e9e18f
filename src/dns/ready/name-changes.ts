import type { NameRow, NameTable } from "../../model/name-table.ts";

/** The difference between two name tables. */
export interface NameChanges {
  /** Rows that are new or differ. */
  readonly put: readonly NameRow[];
  /** Names that no longer have a row. */
  readonly gone: readonly string[];
}

/**
 * Changes from `before` to `after`. From the table's own list of changes where it has one since `before`; else every row is compared, by
 * identity, which takes some milliseconds for 100,000.
 */
export function nameChanges(before: NameTable | undefined, after: NameTable): NameChanges {
  if (before === undefined) return { put: [...after.names.values()], gone: [] };
  const isNext = after.changes !== undefined && after.changes.since === before.serial;
  const put: NameRow[] = [];
  const gone: string[] = [];
  for (const name of isNext ? after.changes.names : differing(before, after)) {
    const row = after.names.get(name);
    if (row === undefined) gone.push(name);
    else put.push(row);
  }
  return { put, gone };
}

function* differing(before: NameTable, after: NameTable): Generator<string> {
  for (const [name, row] of after.names) if (before.names.get(name) !== row) yield name;
  for (const name of before.names.keys()) if (!after.names.has(name)) yield name;
}
