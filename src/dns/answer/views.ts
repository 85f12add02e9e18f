import { addressOfLabel } from "../../istio/addresses.ts";
import { isHostName } from "../../istio/host-names.ts";
import type { NameEndpoint, NameRow } from "../../model/name-table.ts";

/** Endpoints in one answer; others have what is left out. */
const MOST_GIVEN = 8;

/** What some clients are given for the names of services. */
export interface View {
  readonly name: string;
  /** CIDR ranges of the clients. */
  readonly clients: readonly string[];
  /** The VIPs, which only the mesh knows; the healthy endpoints; or addresses of a gateway. */
  readonly answer: "vips" | "endpoints" | readonly string[];
  /** Where the clients are: endpoints there come first. */
  readonly region?: string;
  readonly zone?: string;
}

/** A row as a view shows it. Endpoints that are alike take turns by `rotation`. */
export function seenBy(view: View, row: NameRow, rotation: number): NameRow {
  if (view.answer === "vips" || row.cname !== undefined || row.waits === true) return row;
  const given =
    view.answer === "endpoints" ? endpointsFor(view, row, rotation).map(({ address }) => address) : view.answer;
  const addresses = given.filter((address) => !isHostName(address));
  // Where all are host names, one of them as registries answer it: a name has one CNAME (RFC 2181 §10.1).
  const [hostName] = addresses.length === 0 ? given : [];
  return {
    ...row,
    ...(hostName === undefined ? {} : { cname: hostName.slice(0, -1) }),
    a: addresses.filter((address) => !address.includes(":")),
    aaaa: addresses.filter((address) => address.includes(":")),
    // Only VIPs have to reach the mesh first.
    settledAtMs: 0,
  };
}

/** The endpoints that a client of `view` is given: those of its zone first, then of its region, then the others, each group rotated. */
export function endpointsFor(view: View, { endpoints = [] }: NameRow, rotation: number): readonly NameEndpoint[] {
  const groups: NameEndpoint[][] = [[], [], []];
  for (const endpoint of endpoints) groups[distance(view, endpoint)]?.push(endpoint);
  const ordered = groups.flatMap((group) => {
    const from = group.length === 0 ? 0 : rotation % group.length;
    return [...group.slice(from), ...group.slice(0, from)];
  });
  return ordered.slice(0, MOST_GIVEN);
}

function distance({ region, zone }: View, endpoint: NameEndpoint): 0 | 1 | 2 {
  const isNear = region === undefined || endpoint.region === region;
  if (zone !== undefined && isNear && endpoint.zone === zone) return 0;
  return region !== undefined && isNear ? 1 : 2;
}

/** Name of one endpoint of `host`, for SRV to lead to: `10-1-4-7.host`, as in Kubernetes (DNS-Based Service Discovery §2.4.1). */
export function endpointName(address: string, host: string): string {
  return `${address.replaceAll(/[.:]/g, "-")}.${host}`;
}

/** The address, in canonical text, and the host in a name that `endpointName` makes. */
export function splitEndpointName(name: string): readonly [address: string | undefined, host: string] {
  const dot = name.indexOf(".");
  return [dot === -1 ? undefined : addressOfLabel(name.slice(0, dot)), name.slice(dot + 1)];
}
