import type { NameTable } from "../../model/name-table.ts";
import { nameChanges } from "./name-changes.ts";
import type { NameState, NamesMaker } from "./names.ts";
import { rowIndex } from "./row-index.ts";

/** Names of a table in this thread's own memory: whenever `table` gives another one, what differs is copied at once. */
export function followedNames(table: () => NameTable | undefined): NamesMaker {
  return (make) => {
    let known: NameTable | undefined;
    let state: NameState | undefined;
    const ready = make(() => state?.table);
    const index = rowIndex();
    return {
      current() {
        const now = table();
        if (now === known) return state;
        if (now === undefined) return undefined;
        const { put, gone } = nameChanges(known, now);
        for (const name of gone) {
          ready.delete(name);
          index.delete(known?.names.get(name));
        }
        for (const row of put) {
          ready.put(row);
          index.put(row, known?.names.get(row.name));
        }
        known = now;
        const { names, parents, serial, isPartial = false } = now;
        const has = { hasWildcards: index.hasWildcards(), hostOf: index.hostOf };
        state = { table: { names, parents, serial, isPartial, ...has }, ready };
        return state;
      },
    };
  };
}
