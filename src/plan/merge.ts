import { describeError } from "../errors.ts";
import type { Snapshot } from "../model/adapter.ts";
import { type EntryEndpoint, PROVENANCE_ANNOTATION, type ServiceEntry } from "../model/objects.ts";
import {
  type Endpoint,
  ownPort,
  parseServiceKey,
  type Service,
  type ServiceKey,
  type ServicePort,
  serviceKey,
} from "../model/service.ts";
import { entryPort } from "./ports.ts";
import { sameValue } from "./same.ts";
import { type SettleMemo, settlePorts } from "./settle.ts";
import type { IndexedStanding } from "./standing.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

/** How a registry's last read ended. `unread`: it has not answered since the process started. */
export type Reading =
  | { readonly state: "read"; readonly snapshot: Snapshot }
  | { readonly state: "failed"; readonly why: string }
  | { readonly state: "unread" };

/** A service as the mesh is to see it; an unmerged one is the very object of its registry's snapshot unless its ports were settled. */
export interface CatalogService extends Service {
  /** Set on a merged service: how many of its endpoints, in order, came from which registry (`dc1+prod`: from both). */
  readonly provenance?: readonly { readonly registry: string; readonly count: number }[];
  /** Set on a merged service of which a member could not be read: names that stand may be that member's. */
  readonly isPartial?: true;
}

/** How far a registry's silence about a service can be trusted. Only `complete` proves that a service is gone. */
export interface Authority {
  readonly state: "complete" | "incomplete" | "failed" | "unread";
  /** Set unless complete. */
  readonly why?: string;
  /** Services that the registry listed (also those whose own read failed); 0 unless it answered. */
  readonly listed: number;
}

export interface Catalog {
  readonly services: ReadonlyMap<ServiceKey, CatalogService>;
  /** Services that are listed but could not be read, with the reason. */
  readonly failed: ReadonlyMap<ServiceKey, string>;
  /**
   * By the registry that objects are labelled with, in configuration order. The first of a merge group answers for the
   * whole group; its other members make no objects and are not here.
   */
  readonly authorities: ReadonlyMap<string, Authority>;
  /**
   * Services past stage `outside` that no registry names in this pass, as they stand: why they could not be read, or `undefined` when
   * a complete read does not list them.
   */
  readonly moved?: ReadonlyMap<ServiceKey, string | undefined>;
}

/**
 * Join what the registries said into one catalog.
 *
 * Services of equal namespace and name are joined only for the registries in `group`, under the key of the group's first
 * registry. The endpoints of a member that could not be read stay as they stand on the entry; a service is gone only when
 * every member said so.
 *
 * @param readings by registry, in configuration order
 * @param previous the catalog of the pass before: an equal merged service keeps its identity
 * @param settled as the pass before left it
 */
export const merge = atOnce(mergeSteps);

/** {@link merge} in steps. */
export function* mergeSteps(
  readings: ReadonlyMap<string, Reading>,
  standing: IndexedStanding,
  group: readonly string[] = [],
  previous?: Catalog,
  settled: SettleMemo = new WeakMap(),
): Steps<Catalog & { readonly services: Map<ServiceKey, CatalogService> }> {
  let looked = 0;
  const services = new Map<ServiceKey, CatalogService>();
  const failed = new Map<ServiceKey, string>();
  const authorities = new Map<string, Authority>();
  const [primary] = group;
  for (const [registry, reading] of readings) {
    if (group.includes(registry)) {
      if (registry === primary) authorities.set(registry, groupAuthority(group, readings));
      continue;
    }
    authorities.set(registry, authorityOf(registry, reading));
    if (reading.state !== "read") continue;
    for (const read of reading.snapshot.services) {
      if (++looked % ITEMS_PER_STEP === 0) yield;
      if (read.state === "failed") {
        failed.set(read.key, describeError(read.cause));
        continue;
      }
      const key = serviceKey(registry, read.service.namespace, read.service.name);
      services.set(key, settlePorts(read.service, standing.entries.get(key)?.manifest, settled));
    }
  }
  if (primary !== undefined) yield* mergeGroup({ group, primary, readings, standing, previous, services, failed });
  return { services, failed, authorities };
}

function authorityOf(registry: string, reading: Reading | undefined): Authority {
  if (reading === undefined || reading.state === "unread")
    return { state: "unread", why: `registry ${registry} has not answered yet`, listed: 0 };
  if (reading.state === "failed") return { state: "failed", why: reading.why, listed: 0 };
  const { incomplete, services } = reading.snapshot;
  if (incomplete !== undefined) return { state: "incomplete", why: incomplete, listed: services.length };
  return { state: "complete", listed: services.length };
}

function groupAuthority(group: readonly string[], readings: ReadonlyMap<string, Reading>): Authority {
  const members = group.map((registry) => authorityOf(registry, readings.get(registry)));
  const listed = members.reduce((sum, member) => sum + member.listed, 0);
  const doubtful = members.find((member) => member.state !== "complete");
  if (doubtful === undefined) return { state: "complete", listed };
  // Another member's services can still be updated, so a failed one makes the group's list only partly known.
  const state = members.every((member) => member.state === doubtful.state) ? doubtful.state : "incomplete";
  return { state, listed, ...(doubtful.why === undefined ? {} : { why: doubtful.why }) };
}

type MemberRead =
  | { readonly state: "ok"; readonly service: Service }
  | { readonly state: "absent" }
  | { readonly state: "failed"; readonly why: string };

interface GroupInput {
  readonly group: readonly string[];
  readonly primary: string;
  readonly readings: ReadonlyMap<string, Reading>;
  readonly standing: IndexedStanding;
  readonly previous: Catalog | undefined;
  readonly services: Map<ServiceKey, CatalogService>;
  readonly failed: Map<ServiceKey, string>;
}

function* mergeGroup(input: GroupInput): Steps<void> {
  const { group, primary, readings, standing, previous, services, failed } = input;
  const names = new Set<string>();
  const reads = new Map<string, Map<string, MemberRead>>();
  for (const registry of group) {
    const own = new Map<string, MemberRead>();
    reads.set(registry, own);
    const reading = readings.get(registry);
    if (reading?.state !== "read") continue;
    for (const read of reading.snapshot.services) {
      const name = read.state === "ok" ? `${read.service.namespace}/${read.service.name}` : withoutRegistry(read.key);
      own.set(name, read.state === "ok" ? read : { state: "failed", why: describeError(read.cause) });
      names.add(name);
    }
  }
  let looked = 0;
  for (const name of names) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const key = `${primary}/${name}`;
    const members = group.map((registry) => ({
      registry,
      read: reads.get(registry)?.get(name) ?? silent(authorityOf(registry, readings.get(registry))),
    }));
    const entry = standing.entries.get(key)?.manifest;
    const parts = join(key, members, entry);
    if (typeof parts === "string") failed.set(key, parts);
    else {
      const joined = settlePorts(parts, entry);
      const before = previous?.services.get(key);
      services.set(key, before !== undefined && sameValue(before, joined) ? before : joined);
    }
  }
}

function withoutRegistry(key: ServiceKey): string {
  const parts = parseServiceKey(key);
  return parts === undefined ? key : `${parts.namespace}/${parts.name}`;
}

function silent(authority: Authority): MemberRead {
  return authority.state === "complete"
    ? { state: "absent" }
    : { state: "failed", why: authority.why ?? authority.state };
}

type Member = { readonly registry: string; readonly read: MemberRead };

/** One service from its members, or the reason why it is held. */
function join(key: ServiceKey, members: readonly Member[], entry: ServiceEntry | undefined): CatalogService | string {
  const read = members.flatMap(({ read }) => (read.state === "ok" ? [read.service] : []));
  const [first] = read;
  const doubtful = members.flatMap(({ read }) => (read.state === "failed" ? [read.why] : []));
  if (first === undefined) return doubtful.join("; ");
  const parts = parseServiceKey(key);
  // The first member's declaration of a port counts; the ports keep the members' order.
  const ports = new Map(read.flatMap((service) => service.ports.map((port) => [port.name, port] as const)).reverse());
  const declared = [...ports.values()].reverse();
  const joined = joinEndpoints(members, ports, standingMembers(entry, declared));
  return {
    registry: parts?.registry ?? first.registry,
    namespace: first.namespace,
    name: first.name,
    ports: doubtful.length === 0 ? declared : [...declared, ...standingPorts(entry, declared)],
    endpoints: joined.flatMap((part) => part.endpoints),
    leftOut: read.flatMap((service) => service.leftOut),
    metadata: Object.assign({}, ...read.map((service) => service.metadata).reverse()),
    legacyNames: [...new Set(read.flatMap((service) => service.legacyNames))],
    aliases: read.flatMap((service) => service.aliases ?? []),
    // Of two registries that know the name, one whose clients find the service by it is enough.
    ...(read.every(({ aliasesOnly }) => aliasesOnly === true) ? { aliasesOnly: true as const } : {}),
    ...(doubtful.length === 0 ? {} : { isPartial: true as const }),
    source: read.map((service) => service.source).join(", "),
    notes: [
      ...read.flatMap((service) => service.notes),
      ...doubtful.map((why) => `the endpoints of a registry stay as they stand: ${why}`),
    ],
    provenance: joined.map(({ registry, endpoints }) => ({ registry, count: endpoints.length })),
  };
}

/** What stands of a member that cannot be read: its endpoints, and the ports that they answer on. */
type StandingMember = Pick<Service, "endpoints" | "ports">;

/** All members' endpoints by who named them; one that several named is there once, for all of them. */
function joinEndpoints(
  members: readonly Member[],
  ports: ReadonlyMap<string, ServicePort>,
  standing: (registry: string) => StandingMember,
): readonly { readonly registry: string; readonly endpoints: readonly Endpoint[] }[] {
  const places = new Map<string, { readonly endpoint: Endpoint; readonly from: string[] }>();
  for (const { registry, read } of members) {
    if (read.state === "absent") continue;
    const own = read.state === "ok" ? read.service : standing(registry);
    for (const endpoint of own.endpoints.map((one) => onItsPorts(one, own.ports, ports))) {
      const place = JSON.stringify([endpoint.address, Object.entries(endpoint.ports ?? {}).sort()]);
      const known = places.get(place);
      if (known === undefined) places.set(place, { endpoint, from: [registry] });
      else if (!known.from.includes(registry)) known.from.push(registry);
    }
  }
  const parts = Map.groupBy(places.values(), ({ from }) => from.join("+"));
  return [...parts].map(([registry, part]) => ({ registry, endpoints: part.map(({ endpoint }) => endpoint) }));
}

/** An endpoint answers on the ports of its own registry: where these differ from the joined ones, it says so. */
function onItsPorts(
  { ports: overrides = {}, ...endpoint }: Endpoint,
  own: readonly ServicePort[],
  joined: ReadonlyMap<string, ServicePort>,
): Endpoint {
  const ports = { ...overrides };
  for (const port of own) {
    const { targetPort, number } = joined.get(port.name) ?? port;
    const answersOn = ownPort({ ports: overrides }, port.name) ?? port.targetPort ?? port.number;
    if (answersOn === (targetPort ?? number)) delete ports[port.name];
    else ports[port.name] = answersOn;
  }
  return Object.keys(ports).length === 0 ? endpoint : { ...endpoint, ports };
}

/** Ports that only a member that cannot be read now may have declared. */
function standingPorts(entry: ServiceEntry | undefined, declared: readonly ServicePort[]): readonly ServicePort[] {
  return (entry?.spec.ports ?? []).filter((port) => !declared.some(({ number }) => number === port.number));
}

/**
 * The endpoints on the entry by the registry they came from. Where the annotation does not say so of all of them, any may
 * be anyone's: none is taken away before its registry was read.
 */
function standingMembers(
  entry: ServiceEntry | undefined,
  declared: readonly ServicePort[],
): (registry: string) => StandingMember {
  const names = new Map(declared.map((port) => [entryPort(port).name, port.name]));
  const ports = (entry?.spec.ports ?? []).map((port) => ({ ...port, name: names.get(port.name) ?? port.name }));
  const endpoints = (entry?.spec.endpoints ?? []).map((endpoint) => fromEntry(endpoint, names));
  const kept = new Map<string, Endpoint[]>();
  let start = 0;
  for (const part of (entry?.metadata.annotations?.[PROVENANCE_ANNOTATION] ?? "").split(",")) {
    const [, registries = "", count = ""] = /^([^=]+)=(\d+)$/.exec(part) ?? [];
    const end = start + Number(count);
    for (const registry of registries.split("+"))
      kept.set(registry, [...(kept.get(registry) ?? []), ...endpoints.slice(start, end)]);
    start = end;
  }
  return (registry) => ({ ports, endpoints: start === endpoints.length ? (kept.get(registry) ?? []) : endpoints });
}

/** An endpoint as it stands, with its ports by the names that a service has for them. */
export function fromEntry(endpoint: EntryEndpoint, names: ReadonlyMap<string, string>): Endpoint {
  const [region, zone, subzone] = (endpoint.locality ?? "").split("/");
  const ports = Object.entries(endpoint.ports ?? {}).map(
    ([name, number]) => [names.get(name) ?? name, number] as const,
  );
  return {
    address: endpoint.address,
    ...(ports.length === 0 ? {} : { ports: Object.fromEntries(ports) }),
    ...(endpoint.weight === undefined ? {} : { weight: endpoint.weight }),
    ...(endpoint.labels === undefined ? {} : { labels: endpoint.labels }),
    ...(region ? { region } : {}),
    ...(zone ? { zone } : {}),
    ...(subzone ? { subzone } : {}),
  };
}
