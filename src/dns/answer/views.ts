import { addressOfLabel } from "../../istio/addresses.ts";
import { isHostName } from "../../istio/host-names.ts";
import type { NameEndpoint, NameRow } from "../../model/name-table.ts";

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

/** Who is given something. */
export interface Given {
  /** Each has an order of its own. */
  readonly client: string;
  /** Records that its answer has room for, and one more at least, so that it is told that there are more. */
  readonly most: number;
}

/** A row as a view shows it to a client. */
export function seenBy(view: View, row: NameRow, { client, most }: Given): NameRow {
  if (view.answer === "vips" || row.cname !== undefined || row.waits === true) return row;
  const given =
    view.answer === "endpoints" ? endpointsFor(view, row, client).map(({ address }) => address) : view.answer;
  const addresses = given.filter((address) => !isHostName(address));
  // Where all are host names, one of them as registries answer it: a name has one CNAME (RFC 2181 §10.1).
  const [hostName] = addresses.length === 0 ? given : [];
  return {
    ...row,
    ...(hostName === undefined ? {} : { cname: hostName.slice(0, -1) }),
    a: addresses.filter((address) => !address.includes(":")).slice(0, most),
    aaaa: addresses.filter((address) => address.includes(":")).slice(0, most),
    // Only VIPs have to reach the mesh first.
    settledAtMs: 0,
  };
}

/**
 * The endpoints in the order in which a client of `view` is given them: those of its zone first, then of its region, then the others. Within
 * these each client has an order of its own, which stays: whoever gets only the first ones always gets the same, and one that comes
 * or goes moves no other.
 */
export function endpointsFor(view: View, { endpoints = [] }: NameRow, client: string): readonly NameEndpoint[] {
  const groups: NameEndpoint[][] = [[], [], []];
  for (const endpoint of endpoints) groups[distance(view, endpoint)]?.push(endpoint);
  const seed = hashOf(FNV_OFFSET, client);
  return groups.flatMap((group) => inOwnOrder(group, seed));
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
/** More than a row has endpoints. */
const MOST_PLACES = 2 ** 16;

/** By hashes of the addresses; numbers alone are sorted, as this is done for each question. */
function inOwnOrder(group: readonly NameEndpoint[], seed: number): readonly NameEndpoint[] {
  const keys = new Float64Array(group.length);
  let place = 0;
  for (const { address } of group) {
    keys[place] = (hashOf(seed, address) >>> 0) * MOST_PLACES + (place % MOST_PLACES);
    place++;
  }
  keys.sort();
  const ordered: NameEndpoint[] = [];
  for (const key of keys) ordered.push(group[key % MOST_PLACES] as NameEndpoint);
  return ordered;
}

/** FNV-1a, and the last step of MurmurHash3, without which like texts have like hashes. */
function hashOf(seed: number, text: string): number {
  let hash = seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
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
