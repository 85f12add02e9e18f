import type { NameRow, NameTable } from "../model/name-table.ts";
import { CLASS_IN, RCODE, TYPE } from "./codes.ts";
import type { Question, Reply } from "./message.ts";
import type { ResourceRecord } from "./records.ts";
import { type AnyRow, findRow, srvOf } from "./rows.ts";
import type { View } from "./views.ts";
import { parentOf } from "./wire-name.ts";

/** TTL of "there is no such name" and "no such type" (RFC 2308 §5): a service created on demand must not stay denied for long. */
export const NEGATIVE_TTL_SECONDS = 5;
/** Longest chain of CNAMEs that is followed. */
export const MAX_CNAMES = 8;

/** What all SOA records share: RNAME as in RFC 6303 §3; refresh, retry and expire concern secondaries, of which there are none. */
export const SOA_TIMES = {
  ttlSeconds: NEGATIVE_TTL_SECONDS,
  mailbox: "nobody.invalid",
  refreshSeconds: 3600,
  retrySeconds: 1200,
  expireSeconds: 604_800,
  minimumSeconds: NEGATIVE_TTL_SECONDS,
} as const;

/** Where another DNS server listens. */
export interface Upstream {
  readonly address: string;
  readonly port: number;
  /** Ask by TLS (RFC 7858). */
  readonly tls?: {
    /** The name that its certificate must have. */
    readonly name: string;
    /** Certificates in PEM to believe instead of those of the system. */
    readonly ca?: string;
  };
}

/** A zone of ours, or with upstreams an overlay: someone else's zone of which only some names are answered here. */
export interface Zone {
  readonly name: string;
  /** Empty for a zone of ours. */
  readonly forward: readonly Upstream[];
}

/** The part of a name table that answers are made from. */
export interface AnswerTable {
  readonly names: Pick<NameTable["names"], "get">;
  readonly parents: Pick<NameTable["parents"], "has">;
  readonly serial: number;
  /** Whether there are names that begin with `*` (RFC 4592). */
  readonly hasWildcards?: boolean;
  /** The host that has an address, in canonical text, as its VIP. */
  readonly hostOf?: (address: string) => string | undefined;
}

/** Zones as they are looked up. */
export interface ZoneIndex {
  /** By name, lower case without trailing dot; see `zonesByName`. */
  readonly byName: ReadonlyMap<string, Zone>;
}

/** What besides the names decides an answer. */
export interface Zones extends ZoneIndex {
  /** Asked for names outside of all zones; empty: they are REFUSED. */
  readonly forward: readonly Upstream[];
  readonly ttlSeconds: number;
  /** Whether TXT tells which service a name leads to. */
  readonly tellsServices?: boolean;
  /** What the client is given; by default the VIPs. */
  readonly view?: View;
  /** Counts questions, so that endpoints take turns. */
  readonly turn?: number;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
}

/**
 * What becomes of a question: an answer, a question to someone else, a chain of CNAMEs whose last target someone else knows, or the same
 * question again later.
 */
export type Answer =
  | ({ readonly kind: "reply" } & Reply)
  | ({ readonly kind: "chain" } & Chain)
  | { readonly kind: "forward"; readonly to: readonly Upstream[] }
  | Held;

/** The same question again at `untilMs` (epoch). */
export interface Held {
  readonly kind: "held";
  readonly untilMs: number;
  /** The service that somebody must be told of before there is an answer. */
  readonly wants?: string;
}

/** CNAMEs of ours that lead to a name of others. */
export interface Chain {
  readonly answers: readonly ResourceRecord[];
  readonly target: string;
  readonly to: readonly Upstream[];
}

/** Zones by the form in which `answer` looks them up. */
export function zonesByName(zones: readonly Zone[]): ReadonlyMap<string, Zone> {
  const canonical = zones.map((zone) => ({ ...zone, name: zone.name.toLowerCase().replace(/\.$/, "") }));
  return new Map(canonical.map((zone) => [zone.name, zone]));
}

/**
 * Answer one question. Pure: message.ts knows bits, server.ts knows sockets.
 *
 * Known names are answered whatever their zone. An unknown name belongs to the zone that matches most of its labels: in one of
 * ours it is denied, with NODATA if names exist below it (RFC 8020 §2) and NXDOMAIN otherwise; in an overlay that zone's servers are
 * asked; outside of all zones `forward` is asked, or the answer is REFUSED. A denial carries the zone's SOA (RFC 2308 §2).
 *
 * Classes other than IN and zone transfers are REFUSED; types that can only be meta-data are FORMERR or NOTIMP (RFC 6895 §3.1).
 * An address that the mesh may not have yet is `held`.
 *
 * Besides rows there are names made of them: `_port._tcp.` before a name with ports (SRV, RFC 2782), `_name._tcp.rest` for `name.rest`,
 * as Consul has it, the reverse names of hosts' VIPs (PTR, RFC 1035 §3.5, RFC 3596 §2.5), and what a row `*.rest` stands for (RFC 4592).
 */
export function answer(question: Question, table: AnswerTable, zones: Zones): Answer {
  const refusal = refuse(question);
  if (refusal !== undefined) return bare(refusal);
  const zone = zoneOf(question.name, zones.byName);
  const isOurs = zone !== undefined && zone.forward.length === 0;
  const row = findRow(question.name, table, zones);
  if (row === undefined && !isOurs) return askOthers(zone?.forward ?? zones.forward);
  return resolve(question, row, table, zones);
}

function refuse({ type, class: qclass }: Question): number | undefined {
  if (qclass !== CLASS_IN || type === TYPE.AXFR || type === TYPE.IXFR) return RCODE.REFUSED;
  if (type === TYPE.OPT || type === TYPE.TSIG || type === TYPE.TKEY || type === 0) return RCODE.FORMERR;
  return type === TYPE.MAILA || type === TYPE.MAILB ? RCODE.NOTIMP : undefined;
}

function askOthers(upstreams: readonly Upstream[]): Answer {
  return upstreams.length > 0 ? { kind: "forward", to: upstreams } : bare(RCODE.REFUSED);
}

/** Follow CNAMEs as far as the table goes (RFC 1034 §3.6.2), then answer for the last name, whose code the answer has (RFC 6604 §3). */
function resolve({ name: asked, type }: Question, first: AnyRow | undefined, table: AnswerTable, zones: Zones): Answer {
  const chain: ResourceRecord[] = [];
  let name = asked;
  let row = first;
  while (row?.cname !== undefined && type !== TYPE.CNAME && type !== TYPE.ANY && !isApexData(name, type, zones)) {
    // A loop is a fault of the data that no other answer can mend.
    if (chain.length === MAX_CNAMES) return bare(RCODE.SERVFAIL);
    chain.push({ name, type: "CNAME", ttlSeconds: zones.ttlSeconds, target: row.cname });
    name = row.cname.toLowerCase();
    row = findRow(name, table, zones);
    if (row === undefined && denyingZone(name, zones) === undefined) return leadOut(chain, name, type, zones);
  }
  if (row?.waits === true && WAITING_TYPES.has(type)) return wanted(row, zones);
  const heldUntilMs = row === undefined ? 0 : unsettledUntilMs(row, type, zones.nowMs);
  if (heldUntilMs > 0) return { kind: "held", untilMs: heldUntilMs };
  const records = recordsOf(name, row, type, table, zones);
  if (records.length > 0) return reply(RCODE.NOERROR, [...chain, ...records]);
  return deny(name, row, chain, table, zones);
}

/** What a service has once it stands; of all else it has nothing, before and after. */
const WAITING_TYPES: ReadonlySet<number> = new Set([TYPE.A, TYPE.AAAA, TYPE.SRV, TYPE.TXT]);
/** How soon a name that someone asked for may be there. */
const WANTED_AGAIN_MS = 20;

function wanted({ service }: NameRow, { nowMs }: Zones): Answer {
  return { kind: "held", untilMs: nowMs + WANTED_AGAIN_MS, ...(service === undefined ? {} : { wants: service }) };
}

/** Stub resolvers do not follow CNAMEs, so addresses are asked for on their behalf. */
function leadOut(answers: readonly ResourceRecord[], target: string, type: number, zones: Zones): Answer {
  const to = zoneOf(target, zones.byName)?.forward ?? zones.forward;
  const isFollowed = to.length > 0 && (type === TYPE.A || type === TYPE.AAAA);
  return isFollowed ? { kind: "chain", answers, target, to } : reply(RCODE.NOERROR, answers);
}

function recordsOf(
  name: string,
  row: AnyRow | undefined,
  type: number,
  table: AnswerTable,
  zones: Zones,
): readonly ResourceRecord[] {
  const { ttlSeconds } = zones;
  const isApex = denyingZone(name, zones) === name;
  switch (type) {
    case TYPE.A:
      return row?.a.map((address) => ({ name, type: "A", ttlSeconds, address })) ?? [];
    case TYPE.AAAA:
      return row?.aaaa.map((address) => ({ name, type: "AAAA", ttlSeconds, address })) ?? [];
    case TYPE.CNAME:
      return cnameOf(name, row, ttlSeconds);
    case TYPE.SRV:
      // A plain name has all its ports, as in Consul, Polaris and Kubernetes.
      return (row?.srv ?? (row === undefined ? [] : srvOf(name, row.ports ?? [], row, zones))).map((place) => ({
        ...{ name, type: "SRV" as const, ttlSeconds, priority: 0, weight: 100 },
        ...place,
      }));
    case TYPE.PTR:
      return row?.ptr === undefined ? [] : [{ name, type: "PTR", ttlSeconds, target: row.ptr }];
    case TYPE.TXT:
      if (zones.tellsServices !== true || row?.service === undefined) return [];
      return [{ name, type: "TXT", ttlSeconds, texts: [`service=${row.service}`.slice(0, 255)] }];
    case TYPE.SOA:
      return soaOwner(name, zones) === name ? [soa(name, table)] : [];
    case TYPE.NS:
      // The zone names itself, as RFC 6303 §3 has it: no name of ours needs to be invented, and none can clash with a service's.
      return isApex ? [{ name, type: "NS", ttlSeconds, target: name }] : [];
    case TYPE.ANY:
      return any(name, row, isApex, ttlSeconds);
    default:
      return [];
  }
}

function cnameOf(name: string, row: NameRow | undefined, ttlSeconds: number): readonly ResourceRecord[] {
  return row?.cname === undefined ? [] : [{ name, type: "CNAME", ttlSeconds, target: row.cname }];
}

/** ANY gets one small record: the CNAME, or else the HINFO of RFC 8482 §4.2. */
function any(name: string, row: NameRow | undefined, isApex: boolean, ttlSeconds: number): readonly ResourceRecord[] {
  if (row?.cname !== undefined) return cnameOf(name, row, ttlSeconds);
  return row !== undefined || isApex ? [{ name, type: "HINFO", ttlSeconds, cpu: "RFC8482", os: "" }] : [];
}

/** NXDOMAIN denies every type of a name and all names below it (RFC 2308 §2.1, RFC 8020 §2); a name with rows or a zone below it gets NODATA. */
function deny(
  name: string,
  row: NameRow | undefined,
  chain: readonly ResourceRecord[],
  table: AnswerTable,
  zones: Zones,
): Answer {
  const exists = row !== undefined || isNameAbove(name, table, zones);
  return reply(exists ? RCODE.NOERROR : RCODE.NXDOMAIN, chain, [soa(soaOwner(name, zones), table)]);
}

/** Whether a name without row is a zone's or has names or zones below it. */
export function isNameAbove(name: string, { parents }: AnswerTable, { byName }: ZoneIndex): boolean {
  if (parents.has(name) || byName.has(name)) return true;
  for (const zone of byName.keys()) if (zone.length > name.length && zone.endsWith(`.${name}`)) return true;
  return false;
}

/**
 * The zone that denies `name`. A legacy name outside of our zones is a zone of its own: an SOA further up would claim authority over
 * neighbours that are not ours, and one without SOA would not be cached at all (RFC 2308 §5).
 */
export function soaOwner(name: string, zones: ZoneIndex): string {
  return denyingZone(name, zones) ?? name;
}

function soa(zone: string, table: AnswerTable): ResourceRecord {
  return { name: zone, type: "SOA", primary: zone, serial: table.serial % 2 ** 32, ...SOA_TIMES };
}

/** Until when an answer would give out an address too early; 0 if it would not. */
function unsettledUntilMs(row: NameRow, type: number, nowMs: number): number {
  const givesAddress = (type === TYPE.A && row.a.length > 0) || (type === TYPE.AAAA && row.aaaa.length > 0);
  return givesAddress && row.settledAtMs > nowMs ? row.settledAtMs : 0;
}

function isApexData(name: string, type: number, zones: Zones): boolean {
  return (type === TYPE.SOA || type === TYPE.NS) && denyingZone(name, zones) === name;
}

/** Name of the zone of ours that `name` lies in; undefined in an overlay and outside of all zones. */
export function denyingZone(name: string, zones: ZoneIndex): string | undefined {
  const zone = zoneOf(name, zones.byName);
  return zone?.forward.length === 0 ? zone.name : undefined;
}

/** The zone that matches most labels of `name`. A dot inside a label is `\046` in names, so cutting at dots cuts at labels. */
function zoneOf(name: string, byName: ReadonlyMap<string, Zone>): Zone | undefined {
  for (let suffix = name; ; suffix = parentOf(suffix)) {
    const zone = byName.get(suffix);
    if (zone !== undefined || suffix === "") return zone;
  }
}

function reply(rcode: number, answers: readonly ResourceRecord[], authority: readonly ResourceRecord[] = []): Answer {
  return { kind: "reply", rcode, authoritative: true, answers, authority };
}

function bare(rcode: number): Answer {
  return { kind: "reply", rcode, authoritative: false, answers: [], authority: [] };
}
