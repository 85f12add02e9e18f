import { isHostName } from "../../istio/host-names.ts";
import type { NamePort, NameRow } from "../../model/name-table.ts";
import { reversedAddress } from "../wire/reverse.ts";
import { parentOf } from "../wire/wire-name.ts";
import type { AnswerContext } from "./context.ts";
import type { AnswerTable } from "./table.ts";
import { endpointName, endpointsFor, type Given, seenBy, splitEndpointName } from "./views.ts";
import type { ZoneIndex } from "./zones.ts";

/** Where SRV leads (RFC 2782). */
export interface SrvPlace {
  readonly port: number;
  readonly target: string;
  readonly priority?: number;
  readonly weight?: number;
}

/** A row of the table, or one made of another. */
export interface AnyRow extends NameRow {
  /** Set on a name of ports. */
  readonly srv?: readonly SrvPlace[];
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

const ANYONE: Given = { client: "", most: Number.POSITIVE_INFINITY };

function seenRow(row: NameRow | undefined, { view, given = ANYONE }: AnswerContext): NameRow | undefined {
  return row === undefined || view === undefined ? row : seenBy(view, row, given);
}

/** What stands in no row but follows from one. */
function derivedRow(name: string, table: AnswerTable, context: AnswerContext): AnyRow | undefined {
  const [, label, transport, rest = ""] = /^(?:_([^.]+)\.)?_(tcp|udp)\.(.+)$/.exec(name) ?? [];
  if (transport !== undefined) return portsRow(name, { label, transport, rest }, table, context);
  const address = reversedAddress(name);
  const host = address === undefined ? undefined : table.hostOf?.(address);
  return host === undefined ? undefined : { name, ...EMPTY, host, ptr: host };
}

const EMPTY = { a: [], aaaa: [], settledAtMs: 0 } as const;

/** A name of ports (RFC 2782), or Consul's `_name._tcp.service.consul`. `_tcp.host` is an empty non-terminal. */
function portsRow(
  name: string,
  { label, transport, rest }: { readonly label: string | undefined; readonly transport: string; readonly rest: string },
  table: AnswerTable,
  context: AnswerContext,
): AnyRow | undefined {
  const of = (target: string, choose: (ports: readonly NamePort[]) => readonly NamePort[], as?: ConsulSrv) => {
    const row = rowOf(target, table, context);
    if (row === undefined) return undefined;
    const made = { name, ...EMPTY, host: row.host, srv: [] };
    // Which ports it has is known once it stands.
    if (row.waits === true) return { ...made, waits: true as const, service: row.service ?? "" };
    const ports = choose(row.ports ?? []).filter((port) => port.transport === transport);
    if (ports.length === 0) return undefined;
    if (label === undefined) return made;
    return { ...made, srv: srvOf(target, ports, row, context).map((place) => ({ ...place, ...as })) };
  };
  const named = of(rest, (ports) => (label === undefined ? ports : ports.filter(({ name }) => name === label)));
  if (named !== undefined || label === undefined || !isConsulName(`${label}.${rest}`)) return named;
  return of(`${label}.${rest}`, firstOf, CONSUL_SRV);
}

type ConsulSrv = typeof CONSUL_SRV;

/** What Consul gives for an instance without weights. */
const CONSUL_SRV = { priority: 1, weight: 1 } as const;

/** The port that a service is registered with in Consul comes first. */
function firstOf(ports: readonly NamePort[]): readonly NamePort[] {
  return ports.slice(0, 1);
}

/** A row that stands, or that a wildcard makes. */
function rowOf(name: string, table: AnswerTable, context: ZoneIndex): NameRow | undefined {
  return table.names.get(name) ?? wildcardRow(name, table, context);
}

/** Whether Consul's own DNS has a service by this name: `orders.service.consul`, or with a datacenter `orders.service.dc1.consul`. */
export function isConsulName(name: string): boolean {
  return /^[^.]+\.service\./.test(name);
}

/**
 * SRV as Consul gives it for the plain name of a service: the port that it is registered with. By a plain name elsewhere nobody can tell
 * which of several ports is meant.
 */
export function consulSrvOf(name: string, row: NameRow | undefined, context: AnswerContext): readonly SrvPlace[] {
  if (row === undefined || !isConsulName(name)) return [];
  return srvOf(name, firstOf(row.ports ?? []), row, context).map((place) => ({ ...place, ...CONSUL_SRV }));
}

/** The row of one endpoint by a name that SRV records of endpoints lead to. */
function endpointRow(name: string, table: AnswerTable, context: AnswerContext): AnyRow | undefined {
  if (context.view?.answer !== "endpoints") return undefined;
  const [address, host] = splitEndpointName(name);
  if (address === undefined) return undefined;
  const row = rowOf(host, table, context);
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
function srvOf(
  target: string,
  ports: readonly NamePort[],
  row: NameRow,
  { view, given = ANYONE }: AnswerContext,
): readonly SrvPlace[] {
  if (view?.answer !== "endpoints") return ports.map(({ number }) => ({ port: number, target }));
  return ports.flatMap(({ name, number }) =>
    endpointsFor(view, row, given.client)
      .slice(0, given.most)
      .map(({ address, ports: own }) => ({
        port: own?.[name] ?? number,
        target: isHostName(address) ? address.slice(0, -1) : endpointName(address, target),
      })),
  );
}
