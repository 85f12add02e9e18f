import { OWNER_LABEL } from "../model/objects.ts";
import type { ForeignObject } from "../model/standing.ts";
import { type Clashes, clashes } from "./clashes.ts";
import { type Fields, fieldsOf, listOf, stringsOf } from "./fields.ts";
import { handedOverTo } from "./ownership.ts";

/** An object of anyone else as a target has it. */
export interface ForeignSource extends Pick<ForeignObject, "kind" | "namespace" | "name" | "uid" | "createdMs"> {
  readonly labels: Readonly<Record<string, string>> | null | undefined;
  readonly annotations?: Readonly<Record<string, string>> | null | undefined;
  readonly spec: Fields;
  readonly status: Fields;
}

/** What a target knows of itself. */
export interface ForeignRules {
  /** Without it the hosts of Services are not known. */
  readonly clusterDomain?: string | undefined;
  /** To whom entries may be handed over: our owner. */
  readonly owner?: string | undefined;
  /** What of it is worth knowing. Default: any name and address. */
  readonly clashes?: Clashes | undefined;
}

/** Reduce an object of anyone else to what can clash with ours. */
export function foreignObject(source: ForeignSource, rules: ForeignRules): ForeignObject {
  const { kind, namespace, name, uid, labels, annotations, createdMs, spec, status } = source;
  const { clusterDomain, owner: us, clashes: may = clashes() } = rules;
  const owner = labels?.[OWNER_LABEL];
  const route = kind === "HTTPRoute" ? routeHosts(spec, namespace, clusterDomain) : undefined;
  const all = route?.hosts ?? hostsOf(kind, name, spec);
  const hosts = kind === "Service" ? all : may.hosts(all);
  const isOver = us !== undefined && kind === "ServiceEntry" && handedOverTo(annotations)?.owner === us;
  const asked = kind === "Service" ? askedAddresses(spec, may) : NONE;
  return {
    kind,
    namespace,
    name,
    uid,
    hosts: isOver ? [] : hosts,
    addresses: addressesOf(kind, spec, status, may),
    createdMs,
    ...(asked.length === 0 ? {} : { askedAddresses: asked }),
    ...(owner === undefined ? {} : { owner }),
    ...(isOver ? { handedOver: hosts } : {}),
    ...(route?.isNarrow === true || (kind !== "Service" && isNarrow(spec.exportTo)) ? { isNarrow: true } : {}),
  };
}

const NONE: readonly string[] = [];

/** `status.addresses` of a ServiceEntry: Istio's own VIPs, in the order given. */
export function statusAddresses(status: Fields): readonly string[] {
  const addresses = listOf(status.addresses);
  return addresses.length === 0 ? NONE : stringsOf(addresses.map((address) => fieldsOf(address).value));
}

function isNarrow(exportTo: unknown): boolean {
  const names = stringsOf(exportTo);
  return names.length > 0 && !names.includes("*");
}

function hostsOf(kind: string, name: string, spec: Fields): readonly string[] {
  if (kind === "Service") return [name];
  // Bound to gateways only, a VirtualService says nothing of calls inside the mesh.
  const gateways = kind === "VirtualService" ? stringsOf(spec.gateways) : [];
  return gateways.length > 0 && !gateways.includes("mesh") ? [] : stringsOf(spec.hosts);
}

/**
 * Hosts that an HTTPRoute speaks for inside the mesh: those of its parents, by the Gateway API's rules for meshes (GAMMA).
 * `spec.hostnames` belongs to gateways. Entries of ours are named by their host, so a parent's name says which it is.
 * For a parent of another namespace it is a consumer's route, which only its own namespace sees.
 */
function routeHosts(
  spec: Fields,
  ownNamespace: string,
  clusterDomain: string | undefined,
): { readonly hosts: readonly string[]; readonly isNarrow: boolean } {
  const parents = listOf(spec.parentRefs)
    .map(fieldsOf)
    .flatMap(({ kind, name, namespace = ownNamespace }) => {
      const isService = kind === "Service" && clusterDomain !== undefined;
      if (typeof name !== "string" || (kind !== "ServiceEntry" && kind !== "Hostname" && !isService)) return [];
      const host = isService ? `${name}.${String(namespace)}.svc.${clusterDomain}` : name;
      return [{ host, isConsumers: namespace !== ownNamespace }];
    });
  const isNarrow = parents.length > 0 && parents.every(({ isConsumers }) => isConsumers);
  const seen = parents.filter(({ isConsumers }) => isConsumers === isNarrow);
  return { hosts: [...new Set(seen.map(({ host }) => host))], isNarrow };
}

function addressesOf(kind: string, spec: Fields, status: Fields, may: Clashes): readonly string[] {
  if (kind === "ServiceEntry") return may.addresses([...stringsOf(spec.addresses), ...statusAddresses(status)]);
  if (kind !== "Service") return [];
  const balancers = listOf(fieldsOf(status.loadBalancer).ingress).map((ingress) => fieldsOf(ingress).ip);
  return may.addresses(stringsOf([spec.clusterIP, ...listOf(spec.clusterIPs), ...balancers]));
}

/** What the author of a Service wishes for; neither the API server nor anyone else checks that it is theirs. */
function askedAddresses(spec: Fields, may: Clashes): readonly string[] {
  const asked = stringsOf([spec.loadBalancerIP, ...listOf(spec.externalIPs)]);
  return asked.length === 0 ? NONE : may.addresses(asked);
}
