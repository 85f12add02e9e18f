import type { NameRow } from "../../model/name-table.ts";

/** What is looked up of rows besides their names. */
export interface RowIndex {
  /** Take over a row in place of `before`. */
  put(row: NameRow, before: NameRow | undefined): void;
  delete(row: NameRow | undefined): void;
  /** Whether there are names that begin with `*` (RFC 4592). */
  hasWildcards(): boolean;
  /** The host that has an address. An address that two rows have leads to the one put last. */
  hostOf(address: string): string | undefined;
}

/** An index of no rows yet. */
export function rowIndex(): RowIndex {
  const hosts = new Map<string, string>();
  const wildcards = new Set<string>();

  function remove(row: NameRow | undefined): void {
    if (row === undefined) return;
    for (const address of addressesOf(row)) if (hosts.get(address) === row.host) hosts.delete(address);
    wildcards.delete(row.name);
  }

  return {
    put(row, before) {
      remove(before);
      for (const address of addressesOf(row)) hosts.set(address, row.host);
      if (row.name.startsWith("*.")) wildcards.add(row.name);
    },
    delete: remove,
    hasWildcards: () => wildcards.size > 0,
    hostOf: (address) => hosts.get(address),
  };
}

/** Only a host's own row speaks for its addresses. */
function addressesOf({ name, host, a, aaaa }: NameRow): readonly string[] {
  return name === host ? [...a, ...aaaa] : [];
}
