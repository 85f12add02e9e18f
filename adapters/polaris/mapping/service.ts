import { addressAndPort } from "../../../src/istio/address.ts";
import { isPort, MAX_ENDPOINTS } from "../../../src/istio/limits.ts";
import type { Endpoint, LeftOut, Service, ServicePort } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import {
  DUPLICATE,
  endpointOf,
  fewNotes,
  judgedTogether,
  MOST_LEFT_OUT,
  PAST_LIMIT,
  type ServicePlace,
} from "../../mapping.ts";
import type { Instance as SharedInstance } from "../../shapes/instance.ts";
import { protocolName } from "../../shapes/protocol.ts";
import { portRuleFor, type ServiceRules } from "../../shapes/rules.ts";
import { toService as sharedService } from "../../shapes/service.ts";
import type { RawInstance } from "../client/reply.ts";
import { type Instance, type MappingOptions, toInstance } from "./instance.ts";
import { type PortGroup, settlePorts } from "./ports.ts";

/**
 * The service that instances make; `undefined` when the operator's rules leave all of them out. Their order says nothing.
 *
 * @param declared ports that the service is declared to have, also without an instance
 */
export function toService(
  place: ServicePlace,
  raw: readonly RawInstance[],
  options: MappingOptions,
  pool: Intern,
  declared: readonly number[] = [],
): Service | undefined {
  const { allUnhealthy, rules } = options;
  const own = rules.of(place.name);
  const read = raw.map((one) => toInstance(one, options, pool, place.name));
  const all = read.flatMap(({ instance }) => (instance === undefined ? [] : [instance])).sort(byPlace);
  const besides = read.flatMap((one): LeftOut[] => (one.instance === undefined ? [one.out] : []));
  const isOnlyPods = all.length === 0 && besides.some(({ kind }) => kind === "kubernetes");
  if (all.length === 0 && raw.length > 0 && !isOnlyPods) return undefined;
  // The operator says what the ports are: protocols do not part them then.
  if (own.apart.length > 0 || own.rest !== undefined)
    return withDeclared(sharedService(place, all.map(asShared), besides, { pool, allUnhealthy, rules }), declared, own);
  const notes = new Set(all.flatMap((instance) => instance.notes));
  const instances = judgedTogether(all, allUnhealthy, notes);
  const groups = settlePorts(instances, own.protocol, notes);
  const { endpoints, out } = endpointsOf(instances, groups, pool);
  const service: Service = {
    ...place,
    ports: groups.map(({ port }) => port),
    endpoints,
    leftOut: [...besides.sort(byAddress), ...out].slice(0, MOST_LEFT_OUT),
    metadata: {},
    legacyNames: [],
    notes: fewNotes([...notes]),
    ...(isOnlyPods ? { podsOnly: true as const } : {}),
  };
  return withDeclared(service, declared, own);
}

function asShared({ port, protocol, weight, ...rest }: Instance): SharedInstance {
  const own = { number: port, ...(protocol === undefined ? {} : { protocol: protocol.istio }) };
  return { ...rest, tags: [], weight: Math.max(1, weight), ports: isPort(port) ? [own] : [] };
}

/** While no instance says where it answers, a service has the ports that it is declared to have. */
function withDeclared(service: Service, declared: readonly number[], rules: ServiceRules): Service {
  if (service.ports.length > 0 || service.podsOnly === true || declared.length === 0) return service;
  const declaredPorts = declared.map((registered): ServicePort => {
    const rule = portRuleFor(rules, { tags: [], meta: {} }, registered);
    const protocol = rule?.protocol ?? rules.protocol ?? "TCP";
    const number = rule?.number ?? registered;
    const name =
      rule?.name ?? (declared.length === 1 ? protocolName(protocol) : `${protocolName(protocol)}-p${number}`);
    return { name, number, protocol, ...(rule?.number === undefined ? { observed: true as const } : {}) };
  });
  const isDistinct = new Set(declaredPorts.map(({ number }) => number)).size === declaredPorts.length;
  return isDistinct ? { ...service, declaredPorts } : { ...service, declaredPorts: declaredPorts.slice(0, 1) };
}

/** The usable instances of one host, by the name of their port. */
type Host = Map<string, Instance[]>;

function endpointsOf(
  instances: readonly Instance[],
  groups: readonly PortGroup[],
  pool: Intern,
): { readonly endpoints: readonly Endpoint[]; readonly out: readonly LeftOut[] } {
  const groupOf = new Map(groups.flatMap(({ port, instances: ones }) => ones.map((one) => [one, port.name] as const)));
  const hosts = new Map<string, Host>();
  const whyOut = new Map<Instance, Omit<LeftOut, "address">>();
  const seen = new Set<string>();
  for (const instance of instances) {
    const name = groupOf.get(instance);
    const same = `${instance.address} ${instance.port} ${name}`;
    if (instance.out !== undefined) continue;
    if (name === undefined)
      whyOut.set(instance, { kind: "port", reason: "its protocol has no port here, see the notes" });
    else if (seen.has(same)) whyOut.set(instance, DUPLICATE);
    else putOn(hosts, name, instance);
    seen.add(same);
  }
  const endpoints: Endpoint[] = [];
  for (const host of hosts.values()) {
    const lacking = groups.filter(({ port }) => !host.has(port.name)).map(({ port }) => port.name);
    const full = endpoints.length >= MAX_ENDPOINTS;
    if (lacking.length === 0 && !full) endpoints.push(...joined(host, groups, pool, MAX_ENDPOINTS - endpoints.length));
    for (const instance of [...host.values()].flat()) {
      if (lacking.length > 0)
        whyOut.set(instance, {
          kind: "port",
          reason: `its host has no usable ${lacking.join(" and ")}, as others have`,
        });
      else if (full) whyOut.set(instance, PAST_LIMIT);
    }
  }
  const out = instances.flatMap((instance): LeftOut[] => {
    if (instance.out !== undefined) return [{ ...instance.out, reason: pool.text(instance.out.reason) }];
    const why = whyOut.get(instance);
    return why === undefined ? [] : [{ address: addressAndPort(instance.address, instance.port), ...why }];
  });
  return { endpoints, out };
}

function putOn(hosts: Map<string, Host>, port: string, instance: Instance): void {
  const host = hosts.get(instance.address) ?? new Map<string, Instance[]>();
  hosts.set(instance.address, host);
  const ones = host.get(port);
  if (ones === undefined) host.set(port, [instance]);
  else ones.push(instance);
}

/** The endpoints of one host: as many as its most frequent port has instances. All but the numbers is the first port's. */
function joined(host: Host, groups: readonly PortGroup[], pool: Intern, most: number): readonly Endpoint[] {
  const columns = groups.map(({ port }) => ({ port, ones: host.get(port.name) ?? [] }));
  const rows = Math.min(most, Math.max(...columns.map(({ ones }) => ones.length)));
  return Array.from({ length: rows }, (_, row): Endpoint[] => {
    const picked = columns.flatMap(({ port, ones }) => {
      const instance = ones[row % ones.length];
      return instance === undefined ? [] : [{ port, instance }];
    });
    const [first] = picked;
    if (first === undefined) return [];
    const overrides = picked
      .filter(({ port, instance }) => instance.port !== port.number)
      .map(({ port, instance }) => [port.name, instance.port] as const);
    const { address, weight, labels, region, zone, subzone } = first.instance;
    const ports = overrides.length === 0 ? undefined : pool.record(Object.fromEntries(overrides));
    return [endpointOf(address, { ports, weight, labels, region, zone, subzone })];
  }).flat();
}

function byPlace(a: Instance, b: Instance): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  return a.port - b.port || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function byAddress(a: LeftOut, b: LeftOut): number {
  return a.address < b.address ? -1 : 1;
}
