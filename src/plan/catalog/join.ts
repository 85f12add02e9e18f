import { entryPort } from "../../istio/ports.ts";
import { PROVENANCE_ANNOTATION, type ServiceEntry } from "../../model/objects.ts";
import {
  type Endpoint,
  ownPort,
  parseServiceKey,
  type Service,
  type ServiceKey,
  type ServicePort,
} from "../../model/service.ts";
import type { CatalogService } from "./catalog.ts";
import { fromEntry } from "./from-entry.ts";
import { scaled, type WeightScales } from "./weights.ts";

/** What one registry of a merge group said of a service. */
export type MemberRead =
  | { readonly state: "ok"; readonly service: Service }
  | { readonly state: "absent" }
  | { readonly state: "failed"; readonly why: string };

/** A registry of a merge group. */
export type Member = { readonly registry: string; readonly read: MemberRead };

/** One service from its members, or the reason why it is held. */
export function join(
  key: ServiceKey,
  members: readonly Member[],
  entry: ServiceEntry | undefined,
  scales: WeightScales = new Map(),
): CatalogService | string {
  const read = members.flatMap(({ read }) => (read.state === "ok" ? [read.service] : []));
  const [first] = read;
  const doubtful = members.flatMap(({ read }) => (read.state === "failed" ? [read.why] : []));
  if (first === undefined) return doubtful.join("; ");
  const parts = parseServiceKey(key);
  // The first member's declaration of a port counts; the ports keep the members' order.
  const ports = new Map(read.flatMap((service) => service.ports.map((port) => [port.name, port] as const)).reverse());
  const declared = [...ports.values()].reverse();
  const joined = joinEndpoints(members, ports, standingMembers(entry, declared), scales);
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
    ...said("undecided", read),
    ...said("declaredPorts", read),
    ...(doubtful.length === 0 && read.every(({ podsOnly }) => podsOnly === true) ? { podsOnly: true as const } : {}),
    source: read.map((service) => service.source).join(", "),
    notes: [
      ...read.flatMap((service) => service.notes),
      ...doubtful.map((why) => `the endpoints of a registry stay as they are: ${why}`),
    ],
    provenance: joined.map(({ registry, endpoints }) => ({ registry, count: endpoints.length })),
  };
}

/** What the first member that says it says. */
function said<Name extends "undecided" | "declaredPorts">(
  name: Name,
  read: readonly Service[],
): Partial<Pick<Service, Name>> {
  const value = read.find((one) => one[name] !== undefined)?.[name];
  return value === undefined ? {} : ({ [name]: value } as Pick<Service, Name>);
}

/** What stands of a member that cannot be read: its endpoints, and the ports that they answer on. */
type StandingMember = Pick<Service, "endpoints" | "ports">;

/** All members' endpoints by who named them; one that several named is there once, for all of them. */
function joinEndpoints(
  members: readonly Member[],
  ports: ReadonlyMap<string, ServicePort>,
  standing: (registry: string) => StandingMember,
  scales: WeightScales,
): readonly { readonly registry: string; readonly endpoints: readonly Endpoint[] }[] {
  const places = new Map<string, { readonly endpoint: Endpoint; readonly from: string[] }>();
  for (const { registry, read } of members) {
    if (read.state === "absent") continue;
    const own = read.state === "ok" ? read.service : standing(registry);
    // What stands has been scaled.
    const weighed = read.state === "ok" ? scaled(own.endpoints, scales.get(registry)) : own.endpoints;
    for (const endpoint of weighed.map((one) => onItsPorts(one, own.ports, ports))) {
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
