import type { NameTable } from "../../model/name-table.ts";
import type { ZoneIndex } from "./zones.ts";

/** The part of a name table that answers are made from. */
export interface AnswerTable {
  readonly names: Pick<NameTable["names"], "get">;
  readonly parents: Pick<NameTable["parents"], "has">;
  readonly serial: number;
  /** Whether a name that is not here may exist all the same: it is not denied. */
  readonly isPartial?: boolean;
  /** Whether there are names that begin with `*` (RFC 4592). */
  readonly hasWildcards?: boolean;
  /** The host that has an address, in canonical text, as its VIP. */
  readonly hostOf?: (address: string) => string | undefined;
}

/** Whether a name without row is a zone's or has names or zones below it. */
export function isNameAbove(name: string, { parents }: AnswerTable, { byName }: ZoneIndex): boolean {
  if (parents.has(name) || byName.has(name)) return true;
  for (const zone of byName.keys()) if (zone.length > name.length && zone.endsWith(`.${name}`)) return true;
  return false;
}
