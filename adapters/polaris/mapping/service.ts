import { addressAndPort } from "../../../src/istio/address.ts";
import { MAX_ENDPOINTS } from "../../../src/istio/limits.ts";
import type { Endpoint, LeftOut, Service } from "../../../src/model/service.ts";
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
import type { RawInstance } from "../client/reply.ts";
import { type Instance, type MappingOptions, toInstance } from "./instance.ts";
import { type PortGroup, settlePorts } from "./ports.ts";

/** The service that instances make; `undefined` when all of them were registered from Kubernetes. Their order says nothing. */
export function toService(
  place: ServicePlace,
  raw: readonly RawInstance[],
  options: MappingOptions,
  pool: Intern,
): Service | undefined {
  const read = raw.map((one) => toInstance(one, options, pool));
  const all = read.flatMap(({ instance }) => (instance === undefined ? [] : [instance])).sort(byPlace);
  if (raw.length > 0 && all.length === 0) return undefined;
  const kubernetes = read.flatMap((one): LeftOut[] =>
    one.instance === undefined
      ? [{ address: one.kubernetes, kind: "kubernetes", reason: "registered from Kubernetes by polaris-controller" }]
      : [],
  );
  const notes = new Set(all.flatMap((instance) => instance.notes));
  const instances = judgedTogether(all, options.allUnhealthy, notes);
  const groups = settlePorts(instances, notes);
  const { endpoints, out } = endpointsOf(instances, groups, pool);
  return {
    ...place,
    ports: groups.map(({ port }) => port),
    endpoints,
    leftOut: [...kubernetes.sort(byAddress), ...out].slice(0, MOST_LEFT_OUT),
    metadata: {},
    legacyNames: [],
    notes: fewNotes([...notes]),
  };
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
