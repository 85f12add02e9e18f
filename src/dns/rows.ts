import type { NamePort, NameRow } from "../model/name-table.ts";
import type { AnswerTable, ZoneIndex, Zones } from "./answer.ts";
import { reversedAddress } from "./reverse.ts";
import { endpointName, endpointsFor, seenBy, splitEndpointName } from "./views.ts";
import { parentOf } from "./wire-name.ts";

/** A row of the table, or one made of another. */
export interface AnyRow extends NameRow {
  readonly srv?: readonly { readonly port: number; readonly target: string }[];
  readonly ptr?: string;
}

/** What a name has, as the client may see it. */
export function findRow(name: string, table: AnswerTable, zones: Zones): AnyRow | undefined {
  return (
    seenRow(table.names.get(name), zones) ??
    derivedRow(name, table, zones) ??
    seenRow(wildcardRow(name, table, zones), zones)
  );
}

function seenRow(row: NameRow | undefined, { view, turn = 0 }: Zones): NameRow | undefined {
  return row === undefined || view === undefined ? row : seenBy(view, row, turn);
}

/** What stands in no row but follows from one. `_tcp.host` is an empty non-terminal. */
function derivedRow(name: string, table: AnswerTable, zones: Zones): AnyRow | undefined {
  const made = { name, a: [], aaaa: [], settledAtMs: 0 };
  const rowOf = (target: string) => table.names.get(target) ?? wildcardRow(target, table, zones);
  const [, label, transport, rest = ""] = /^(?:_([^.]+)\.)?_(tcp|udp)\.(.+)$/.exec(name) ?? [];
  if (transport !== undefined) {
    const of = (target: string, isWanted: (port: NamePort) => boolean): AnyRow | undefined => {
      const row = rowOf(target);
      // Which ports it has is known once it stands.
      if (row?.waits === true) return { ...made, host: row.host, waits: true, service: row.service ?? "" };
      const ports = (row?.ports ?? []).filter((port) => port.transport === transport && isWanted(port));
      if (row === undefined || ports.length === 0) return undefined;
      return { ...made, host: row.host, srv: label === undefined ? [] : srvOf(target, ports, row, zones) };
    };
    const named = of(rest, (port) => label === undefined || port.name === label);
    return named ?? (label === undefined ? undefined : of(`${label}.${rest}`, () => true));
  }
  if (zones.view?.answer === "endpoints") {
    const [address, host] = splitEndpointName(name);
    const row = address === undefined ? undefined : rowOf(host);
    if (row !== undefined && address !== undefined && row.endpoints?.some((one) => one.address === address))
      return { ...made, host: row.host, ...(address.includes(":") ? { aaaa: [address] } : { a: [address] }) };
  }
  const address = reversedAddress(name);
  const host = address === undefined ? undefined : table.hostOf?.(address);
  return host === undefined ? undefined : { ...made, host, ptr: host };
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
  { view, turn = 0 }: Zones,
): NonNullable<AnyRow["srv"]> {
  if (view?.answer !== "endpoints") return ports.map(({ number }) => ({ port: number, target }));
  return ports.flatMap(({ name, number }) =>
    endpointsFor(view, row, turn).map(({ address, ports: own }) => ({
      port: own?.[name] ?? number,
      target: endpointName(address, target),
    })),
  );
}
