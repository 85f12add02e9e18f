import { isHostName } from "../../istio/host-names.ts";
import type { NamePort, NameRow } from "../../model/name-table.ts";
import { reversedAddress } from "../wire/reverse.ts";
import { parentOf } from "../wire/wire-name.ts";
import type { AnswerContext } from "./context.ts";
import type { AnswerTable } from "./table.ts";
import { endpointName, endpointsFor, seenBy, splitEndpointName } from "./views.ts";
import type { ZoneIndex } from "./zones.ts";

/** A row of the table, or one made of another. */
export interface AnyRow extends NameRow {
  readonly srv?: readonly { readonly port: number; readonly target: string }[];
  readonly ptr?: string;
}

/** What a name has, as the client may see it. */
export function findRow(name: string, table: AnswerTable, context: AnswerContext): AnyRow | undefined {
  return (
    // Before a row of that name: whoever chooses names could take the endpoint's otherwise.
    endpointRow(name, table, context) ??
    seenRow(table.names.get(name), context) ??
    derivedRow(name, table, context) ??
    seenRow(wildcardRow(name, table, context), context)
  );
}

function seenRow(row: NameRow | undefined, { view, rotation = 0 }: AnswerContext): NameRow | undefined {
  return row === undefined || view === undefined ? row : seenBy(view, row, rotation);
}

/** What stands in no row but follows from one. `_tcp.host` is an empty non-terminal. */
function derivedRow(name: string, table: AnswerTable, context: AnswerContext): AnyRow | undefined {
  const made = { name, a: [], aaaa: [], settledAtMs: 0 };
  const rowOf = (target: string) => table.names.get(target) ?? wildcardRow(target, table, context);
  const [, label, transport, rest = ""] = /^(?:_([^.]+)\.)?_(tcp|udp)\.(.+)$/.exec(name) ?? [];
  if (transport !== undefined) {
    const of = (target: string, isWanted: (port: NamePort) => boolean): AnyRow | undefined => {
      const row = rowOf(target);
      // Which ports it has is known once it stands.
      if (row?.waits === true) return { ...made, host: row.host, waits: true, service: row.service ?? "" };
      const ports = (row?.ports ?? []).filter((port) => port.transport === transport && isWanted(port));
      if (row === undefined || ports.length === 0) return undefined;
      return { ...made, host: row.host, srv: label === undefined ? [] : srvOf(target, ports, row, context) };
    };
    const named = of(rest, (port) => label === undefined || port.name === label);
    return named ?? (label === undefined ? undefined : of(`${label}.${rest}`, () => true));
  }
  const address = reversedAddress(name);
  const host = address === undefined ? undefined : table.hostOf?.(address);
  return host === undefined ? undefined : { ...made, host, ptr: host };
}

/** The row of one endpoint by a name that SRV records of endpoints lead to. */
function endpointRow(name: string, table: AnswerTable, context: AnswerContext): AnyRow | undefined {
  if (context.view?.answer !== "endpoints") return undefined;
  const [address, host] = splitEndpointName(name);
  if (address === undefined) return undefined;
  const row = table.names.get(host) ?? wildcardRow(host, table, context);
  if (row?.endpoints?.some((one) => one.address === address) !== true) return undefined;
  const addresses = address.includes(":") ? { a: [], aaaa: [address] } : { a: [address], aaaa: [] };
  return { name, host: row.host, ...addresses, settledAtMs: 0 };
}

/**
 * The row of the wildcard at the closest encloser, the longest name above that exists (RFC 4592 §3.3.1), as a row of `name`;
 * never one of another zone.
 */
export function wildcardRow(name: string, table: AnswerTable, { byName }: ZoneIndex): NameRow | undefined {
  const { names, parents } = table;
  if (table.hasWildcards !== true || parents.has(name) || byName.has(name)) return undefined;
  for (let above = parentOf(name); above !== ""; above = parentOf(above)) {
    const row = names.get(`*.${above}`);
    if (row !== undefined) return { ...row, name };
    if (parents.has(above) || byName.has(above) || names.get(above) !== undefined) return undefined;
  }
  return undefined;
}

/** Places of a name's ports: the name itself, or its endpoints where those are given. */
export function srvOf(
  target: string,
  ports: readonly NamePort[],
  row: NameRow,
  { view, rotation = 0 }: AnswerContext,
): NonNullable<AnyRow["srv"]> {
  if (view?.answer !== "endpoints") return ports.map(({ number }) => ({ port: number, target }));
  return ports.flatMap(({ name, number }) =>
    endpointsFor(view, row, rotation).map(({ address, ports: own }) => ({
      port: own?.[name] ?? number,
      target: isHostName(address) ? address.slice(0, -1) : endpointName(address, target),
    })),
  );
}
