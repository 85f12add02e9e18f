/** `<registry>/<namespace>/<service>`; a service's own name may hold further slashes. */
export type ServiceKey = string;

/** One port of a service. Unknown protocols are `TCP`. */
export interface ServicePort {
  /** Istio port name, a DNS label; unique within the service. */
  readonly name: string;
  /** 1–65535; unique within the service. */
  readonly number: number;
  /** Istio protocol in upper case (`HTTP`, `GRPC`, `TCP`, …), or an Aeraki one (`metaprotocol-dubbo`). */
  readonly protocol: string;
  /** Port on the endpoints where it differs from `number`. */
  readonly targetPort?: number;
  /** Set when nobody configured `number`: it is the lowest that endpoints have, and gives way to that of an entry that stands. */
  readonly observed?: true;
}

/** One place where a service answers. */
export interface Endpoint {
  /** IPv4 or IPv6 address, canonical text; or a host name in lower case that ends in a dot, which callers' proxies resolve. */
  readonly address: string;
  /** Port numbers that differ from the service's, by port name. */
  readonly ports?: Readonly<Record<string, number>>;
  /** Load-balancing weight, ≥ 1 (Istio reads 0 as 1). */
  readonly weight?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly region?: string;
  readonly zone?: string;
  readonly subzone?: string;
  /** The network that it is in, of a mesh of several: callers in others come through its gateway. */
  readonly network?: string;
}

/** The endpoint's own number of a port, if it has one. A port may be called "constructor", which every object has. */
export function ownPort(
  { ports }: { readonly ports?: Readonly<Record<string, number>> | undefined },
  name: string,
): number | undefined {
  return ports !== undefined && Object.hasOwn(ports, name) ? ports[name] : undefined;
}

/** Why an endpoint is not used, in one word: the label of a metric. */
export type LeftOutKind =
  | "address"
  | "disabled"
  | "duplicate"
  | "filter" // the operator's rules for instances
  | "health"
  | "kubernetes" // a pod, which registered itself or was registered by a bridge
  | "mesh" // its server wants certificates of another mesh
  | "name"
  | "port"
  | "weight";

/** An endpoint that the registry named and that is not used. `address` is as the registry wrote it, with its port. */
export interface LeftOut {
  readonly address: string;
  readonly kind: LeftOutKind;
  /** Reads on from "out": `disabled in services.yaml:19`. */
  readonly reason: string;
}

/** A second namespace and name by which a registry knows a service. */
export interface ServiceAlias {
  readonly namespace: string;
  readonly name: string;
  /** Set when callers only ask their registry by it: it fills no template. */
  readonly asked?: true;
}

/** What one registry says of one service. */
export interface Service {
  readonly registry: string;
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly ServicePort[];
  /** Usable endpoints; may be empty. */
  readonly endpoints: readonly Endpoint[];
  readonly leftOut: readonly LeftOut[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Further DNS names, from the operator's own file only: never from a registry's metadata. */
  readonly legacyNames: readonly string[];
  /** Other names of the service in its registry: the operator's templates for legacy names are filled with each of them too. */
  readonly aliases?: readonly ServiceAlias[];
  /** Set when the registry's own clients do not find the service by its name: templates are filled with its aliases only. */
  readonly aliasesOnly?: true;
  /** Where a person finds it: `services.yaml:12`, `/v1/health/service/orders in dc1`. */
  readonly source: string;
  /** What was read but could not be used: dropped labels, ignored fields. Whole sentences without a full stop. */
  readonly notes: readonly string[];
  /** Ports that it is declared to have while no instance says where it answers: those of an entry that does not stand yet. */
  readonly declaredPorts?: readonly ServicePort[];
  /** Why nobody can tell how it is to be called, and what to configure: it is held. A sentence without a full stop. */
  readonly undecided?: string;
  /** Set when all its instances are pods: where it stands it has no endpoints, and nothing of it is created. */
  readonly podsOnly?: true;
}

export function serviceKey(registry: string, namespace: string, name: string): ServiceKey {
  return `${registry}/${namespace}/${name}`;
}

/** The registry of a service. */
export function registryOfKey(key: ServiceKey): string {
  return key.slice(0, key.indexOf("/"));
}

export interface ServiceKeyParts {
  readonly registry: string;
  readonly namespace: string;
  readonly name: string;
}

/** Split a key at its first two slashes; `undefined` when it has fewer or an empty part. */
export function parseServiceKey(key: string): ServiceKeyParts | undefined {
  const match = /^([^/]+)\/([^/]+)\/(.+)$/s.exec(key);
  if (match === null) return undefined;
  const [, registry = "", namespace = "", name = ""] = match;
  return { registry, namespace, name };
}
