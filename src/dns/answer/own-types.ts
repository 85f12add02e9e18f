import { TYPE } from "../wire/codes.ts";
import type { Question } from "../wire/query.ts";
import { type AnyRow, isConsulName } from "./rows.ts";

/**
 * What a name with addresses of ours has, whoever has its zone: the addresses, and nothing that would lead clients past them, as a CNAME or
 * SVCB would (RFC 9460 §2.4).
 */
export const OWN_TYPES: ReadonlySet<number> = new Set([TYPE.A, TYPE.AAAA, TYPE.CNAME, TYPE.SVCB, TYPE.HTTPS, TYPE.ANY]);

/**
 * Whether a type of a known name is answered here although its zone may be someone else's. All else (MX, TXT, CAA, NS, SOA …) is known to
 * the servers of the zone only.
 */
export function isAnsweredHere(row: AnyRow, { name, type }: Pick<Question, "name" | "type">): boolean {
  if (row.cname !== undefined || row.ptr !== undefined) return true;
  if (row.srv !== undefined) return type === TYPE.SRV || type === TYPE.ANY;
  return OWN_TYPES.has(type) || (type === TYPE.SRV && isConsulName(name));
}
