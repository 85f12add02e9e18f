import { fieldsOf, listOf, stringsOf } from "../istio/fields.ts";
import { statusAddresses } from "../istio/foreign.ts";
import { isHttp } from "../istio/ports.ts";
import type { RawObject } from "../kube/client/raw.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  NAMES_ANNOTATION,
  type ObjectKey,
  OWNER_LABEL,
  objectKey,
} from "../model/objects.ts";
import { registryOfKey, type ServiceKey } from "../model/service.ts";
import type { ForeignObject, Standing } from "../model/standing.ts";
import type { Decision } from "../plan/decision.ts";
import { readNames } from "../plan/names/names-annotation.ts";

/** An object of someone else's that stands in the way of one of ours. */
export interface Candidate {
  readonly key: ObjectKey;
  readonly service: ServiceKey;
  readonly registry: string;
  /** `same`: ours would have its very place. `elsewhere`: an entry that speaks for hosts that ours is to have. */
  readonly place: "same" | "elsewhere";
  /** Hosts that ours would have. */
  readonly hosts: ReadonlySet<string>;
  /** Why HTTP is not routed by some of them. */
  readonly dnsOnly?: ReadonlyMap<string, string>;
  /** Numbers of the ports that ours would have; missing where that is not known. */
  readonly ports?: ReadonlySet<number> | undefined;
}

/** What stands in our way: found by deciding as if nobody else had an entry, a route or a Service. */
export function candidatesOf(standing: Standing, decide: (standing: Standing) => Decision): readonly Candidate[] {
  const { plan, naming } = decide({ ...standing, foreign: new Map(), premade: new Map() });
  const serviceOf = new Map<string, ServiceKey>();
  const hostsOf = new Map<ServiceKey, Pick<Candidate, "hosts" | "dnsOnly">>();
  for (const [service, { host, legacyNames }] of naming.services) {
    const hosts = new Set([host, ...legacyNames.map(({ name }) => name)]);
    const dnsOnly = new Map(legacyNames.flatMap((one) => (one.dnsOnly === undefined ? [] : [[one.name, one.dnsOnly]])));
    hostsOf.set(service, { hosts, dnsOnly });
    for (const one of hosts) serviceOf.set(one, service);
  }
  const none = { hosts: new Set<string>() };
  const same = plan.create
    .filter(({ object }) => standing.foreign.has(object.key))
    .map(({ object: { key, service, registry } }): Candidate => {
      return { key, service, registry, place: "same", ...(hostsOf.get(service) ?? none) };
    });
  const known = new Set(same.map(({ key }) => key));
  const elsewhere = entriesOfOthers(standing, known).flatMap(([key, hosts]): Candidate[] => {
    const service = hosts.map((host) => serviceOf.get(host)).find((one) => one !== undefined);
    if (service === undefined) return [];
    const registry = registryOfKey(service);
    return [{ key, service, registry, place: "elsewhere", ...(hostsOf.get(service) ?? none) }];
  });
  return [...same, ...elsewhere].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function entriesOfOthers(
  { foreign }: Pick<Standing, "foreign">,
  known: ReadonlySet<ObjectKey>,
): readonly (readonly [ObjectKey, readonly string[]])[] {
  const entries = [...foreign].filter(([key, { kind }]) => kind === "ServiceEntry" && !known.has(key));
  return entries.map(([key, entry]) => [key, hostsInAll(entry)] as const);
}

function hostsInAll({ hosts, handedOver = [] }: ForeignObject): readonly string[] {
  return [...hosts, ...handedOver].map((host) => host.toLowerCase());
}

/** Why an object cannot be taken over without a loss, in a sentence without a full stop; `undefined` when it can. */
export function refusal(candidate: Candidate, object: RawObject): string | undefined {
  const { key } = candidate;
  const { labels, ownerReferences, deletionTimestamp } = object.metadata ?? {};
  const spec = fieldsOf(object.spec);
  const kind = key.slice(0, key.indexOf("/"));
  const manager = labels?.[MANAGED_BY_LABEL];
  const [controller] = listOf(ownerReferences).map(fieldsOf);
  if (deletionTimestamp != null) return "it is being deleted";
  if (labels?.[OWNER_LABEL] !== undefined)
    return `it belongs to owner ${labels[OWNER_LABEL]}: stop that one, then adopt --owner ${labels[OWNER_LABEL]}`;
  if (controller !== undefined)
    return `${String(controller.kind)} ${String(controller.name)} controls it and would put it back`;
  if (manager !== undefined && manager !== MANAGED_BY)
    return `${manager} manages it by its label ${MANAGED_BY_LABEL}: remove it there first`;
  if (kind === "Service") return serviceFault(spec) ?? portFault(spec, candidate, key.slice(key.lastIndexOf("/") + 1));
  if (kind !== "ServiceEntry") return `its routes may do more than ours would: copy them by hand, then delete it`;
  const [host = key] = stringsOf(spec.hosts);
  const isFound = vipsOf(object).length > 0;
  return entryFault(spec, candidate) ?? portFault(spec, candidate, host) ?? routeFault(spec, candidate, isFound);
}

function serviceFault(spec: Readonly<Record<string, unknown>>): string | undefined {
  const { type = "ClusterIP", selector } = spec;
  if (type !== "ExternalName") return `it is of type ${String(type)}: its callers would be sent elsewhere`;
  return Object.keys(fieldsOf(selector)).length > 0 ? "it has a selector" : undefined;
}

/** Ports that callers can call now and could not by ours. */
function portFault(
  spec: Readonly<Record<string, unknown>>,
  { ports, service, registry }: Candidate,
  host: string,
): string | undefined {
  if (ports === undefined) return undefined;
  const closing = [...new Set(portsOf(spec).map(({ number }) => number))].filter((number) => !ports.has(number));
  if (closing.length === 0) return undefined;
  const [names, which] = closing.length === 1 ? ["port", "it"] : ["ports", "them"];
  const ours = ports.size === 0 ? "no port" : `${[...ports].sort((a, b) => a - b).join(", ")} only`;
  const calls = closing.map((number) => `${host}:${number}`).join(", ");
  const name = service.slice(service.lastIndexOf("/") + 1);
  return `its ${names} ${closing.join(", ")} would close (${calls}), as ours would have ${ours}: keep ${which} by ports: of registry ${registry} (ports: [{service: ${name}, also: [${closing.join(", ")}]}]), or take ${which} off it once nobody calls ${which}`;
}

/**
 * Hosts by which HTTP is routed now and would not be by ours; and those of one label, if callers find them by Istio's DNS as the entry has a
 * VIP: nobody else asks us for them.
 */
function routeFault(
  spec: Readonly<Record<string, unknown>>,
  { dnsOnly, registry }: Candidate,
  isFound: boolean,
): string | undefined {
  const [port] = portsOf(spec);
  const http = portsOf(spec).find(({ protocol }) => isHttp(protocol));
  const lost = stringsOf(spec.hosts).filter((host) => dnsOnly?.has(host.toLowerCase()));
  const alone = isFound ? lost.filter((host) => !host.includes(".")) : [];
  const remedy = `give the name by aliases in the namespaces that call it and take it off legacyNames of registry ${registry}, so that this entry keeps it until then; ports: of the registry keeps ports`;
  if (http !== undefined && lost[0] !== undefined)
    return `HTTP by its host ${lost.join(", ")} (${lost[0]}:${http.number}) would not be routed any more: ${dnsOnly?.get(lost[0].toLowerCase()) ?? ""}; ${remedy}`;
  if (port === undefined || alone[0] === undefined) return undefined;
  return `its host ${alone.join(", ")} (${alone[0]}:${port.number}) would not be found any more: sidecars with DNS capture find a name of one label by the VIP of this entry only, as no DNS server of the cluster asks for it; ${remedy}`;
}

/** Its VIPs: those that it says itself, else those that Istio gave it. */
export function vipsOf({ spec, status }: RawObject): readonly string[] {
  const own = stringsOf(fieldsOf(spec).addresses);
  return own.length > 0 ? own : statusAddresses(fieldsOf(status));
}

/** `host:port` of all that can be called by an entry; the hosts of one without ports. */
export function callsOf(spec: Readonly<Record<string, unknown>>): readonly string[] {
  const ports = portsOf(spec);
  const hosts = stringsOf(spec.hosts);
  return ports.length === 0 ? hosts : hosts.flatMap((host) => ports.map(({ number }) => `${host}:${number}`));
}

function portsOf(
  spec: Readonly<Record<string, unknown>>,
): readonly { readonly number: number; readonly protocol: string }[] {
  return listOf(spec.ports).flatMap((one) => {
    const { number, port, protocol } = fieldsOf(one);
    const found = typeof number === "number" ? number : port;
    return typeof found === "number" ? [{ number: found, protocol: String(protocol ?? "").toUpperCase() }] : [];
  });
}

function entryFault(
  spec: Readonly<Record<string, unknown>>,
  { place, hosts: wanted, registry }: Pick<Candidate, "place" | "hosts" | "registry">,
): string | undefined {
  const hosts = stringsOf(spec.hosts).map((host) => host.toLowerCase());
  const further = hosts.filter((host) => !wanted.has(host));
  const [first = ""] = wanted;
  if (Object.keys(fieldsOf(spec.workloadSelector)).length > 0) return "it selects workloads of the cluster";
  if (further.length > 0) {
    const [port] = portsOf(spec);
    const call = port === undefined ? "" : ` (${further[0]}:${port.number})`;
    return `it also has the hosts ${further.join(", ")}, which ours would not have${call}: give them by legacyNames of registry ${registry}, whose ports: keeps ports`;
  }
  if (place === "same" && hosts[0] !== first) return `its host is ${hosts[0] ?? "none"}, ours would be ${first}`;
  return undefined;
}

/** The entry of a service that answers for all of `hosts`, as it stands. */
export function answeringEntry(
  { objects }: Pick<Standing, "objects">,
  service: ServiceKey,
  hosts: readonly string[],
): ObjectKey | undefined {
  for (const { key, service: one, manifest } of objects.values()) {
    if (one !== service || manifest.kind !== "ServiceEntry" || (manifest.spec.hosts[0] ?? "") === "") continue;
    const names = [manifest.spec.hosts[0], ...readNames(manifest.metadata.annotations?.[NAMES_ANNOTATION])];
    if (hosts.every((host) => names.includes(host.toLowerCase()))) return key;
  }
  return undefined;
}

/** An object as an operator names it, its kind in any case: `serviceentry/mesh-services/x`. */
export function keyFrom(text: string): ObjectKey | undefined {
  const [kind = "", namespace = "", name = "", ...more] = text.split("/");
  const known = ["ServiceEntry", "VirtualService", "Service", "HTTPRoute", "TCPRoute"];
  const found = known.find((one) => one.toLowerCase() === kind.toLowerCase());
  return found === undefined || name === "" || more.length > 0 ? undefined : objectKey(found, namespace, name);
}
