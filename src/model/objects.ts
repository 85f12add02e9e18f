import type { ServiceKey } from "./service.ts";

export const MANAGED_BY_LABEL = "app.kubernetes.io/managed-by";
export const MANAGED_BY = "x2istio";
export const OWNER_LABEL = "x2istio.dev/owner";
export const REGISTRY_LABEL = "x2istio.dev/registry";
/** Every annotation of ours starts so. */
export const ANNOTATION_PREFIX = "x2istio.dev/";
export const SERVICE_ANNOTATION = "x2istio.dev/service";
export const NAMES_ANNOTATION = "x2istio.dev/names";
/** On an entry, aliases of its service outside its own namespace that stand or are to stand: `shop/orders,web/orders`. */
export const ALIASES_ANNOTATION = "x2istio.dev/aliases";
export const GONE_SINCE_ANNOTATION = "x2istio.dev/gone-since";
/** On the entry of a service that is gone: the service that took over its names, to whose endpoints its VIP leads meanwhile. */
export const SUCCEEDED_BY_ANNOTATION = "x2istio.dev/succeeded-by";
/** On a ServiceEntry that lost endpoints: how many it had, and when that began. */
export const SHRUNK_ANNOTATION = "x2istio.dev/shrunk-from";
/** On a ServiceEntry of which a brake keeps endpoints: how many it had, how many its registry lists, and since when. */
export const HELD_LOSS_ANNOTATION = "x2istio.dev/held-loss";
/** On some ServiceEntries of services that a brake keeps: how many of their registry it keeps, and since when. */
export const HELD_SERVICES_ANNOTATION = "x2istio.dev/held-services";
export const EMPTY_SINCE_ANNOTATION = "x2istio.dev/empty-since";
/** Which endpoints of a merged service came from which registry: `dc1=3,prod=2`, in the entry's order. */
export const PROVENANCE_ANNOTATION = "x2istio.dev/endpoints-from";
/** On what leads a gateway's callers to a service: the name of the exposure that asks for it. */
export const EXPOSURE_ANNOTATION = "x2istio.dev/exposure";
/** On what an operator gave up: since when it is left as it is. Its names go on being answered. */
export const RELEASED_ANNOTATION = "x2istio.dev/released";
/** On an entry of someone else's whose names an operator hands over: `<owner>@<time>`. */
export const HANDED_OVER_ANNOTATION = "x2istio.dev/handed-over-to";
/** Istio's opt-out label of its VIP allocator. */
export const AUTO_ALLOCATE_LABEL = "networking.istio.io/enable-autoallocate-ip";
/** The waypoint that an ambient mesh leads calls through, and its namespace. */
export const WAYPOINT_LABEL = "istio.io/use-waypoint";
export const WAYPOINT_NAMESPACE_LABEL = "istio.io/use-waypoint-namespace";

/** Kinds that this project writes besides its ledger. */
export type MeshKind = "ServiceEntry" | "VirtualService" | "Service" | "HTTPRoute" | "TCPRoute";
export const MESH_KINDS: readonly MeshKind[] = ["ServiceEntry", "VirtualService", "Service", "HTTPRoute", "TCPRoute"];

export const API_VERSIONS: Readonly<Record<MeshKind, string>> = {
  ServiceEntry: "networking.istio.io/v1",
  VirtualService: "networking.istio.io/v1",
  Service: "v1",
  HTTPRoute: "gateway.networking.k8s.io/v1",
  TCPRoute: "gateway.networking.k8s.io/v1",
};

/** `<kind>/<namespace>/<name>` */
export type ObjectKey = string;

export function objectKey(kind: string, namespace: string, name: string): ObjectKey {
  return `${kind}/${namespace}/${name}`;
}

export interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface EntryPort {
  readonly name: string;
  readonly number: number;
  readonly protocol: string;
  readonly targetPort?: number;
}

export interface EntryEndpoint {
  readonly address: string;
  readonly ports?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** `region/zone/subzone` */
  readonly locality?: string;
  readonly weight?: number;
  readonly network?: string;
}

/** The part of istio.io/api networking/v1 ServiceEntry that is written here. */
export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  readonly addresses?: readonly string[];
  readonly ports: readonly EntryPort[];
  readonly location: "MESH_INTERNAL" | "MESH_EXTERNAL";
  /** `DNS` where an endpoint is a host name. */
  readonly resolution: "STATIC" | "DNS";
  readonly endpoints?: readonly EntryEndpoint[];
  readonly exportTo?: readonly string[];
}

export interface RouteDestination {
  readonly destination: { readonly host: string; readonly port: { readonly number: number } };
  readonly weight?: number;
}

/** The part of istio.io/api networking/v1 VirtualService that is written here. */
export interface VirtualServiceSpec {
  readonly hosts: readonly string[];
  /** `<namespace>/<name>`; without it, for calls inside the mesh. */
  readonly gateways?: readonly string[];
  readonly exportTo?: readonly string[];
  readonly http?: readonly {
    readonly match?: readonly {
      readonly uri?: { readonly exact: string } | { readonly prefix: string };
      readonly port?: number;
      /** An empty value asks for no more than that the header is there. */
      readonly headers?: Readonly<Record<string, Readonly<Record<string, never>>>>;
      readonly withoutHeaders?: Readonly<Record<string, Readonly<Record<string, never>>>>;
    }[];
    readonly route: readonly RouteDestination[];
  }[];
  readonly tcp?: readonly {
    readonly match: readonly { readonly port: number }[];
    readonly route: readonly RouteDestination[];
  }[];
  readonly tls?: readonly {
    readonly match: readonly { readonly port: number; readonly sniHosts: readonly string[] }[];
    readonly route: readonly RouteDestination[];
  }[];
}

/** The part of the Gateway API's HTTPRoute (v1) that is written here, with the values that the API server would fill in. */
export interface HttpRouteSpec extends RouteParents {
  readonly hostnames: readonly string[];
  readonly rules: readonly {
    readonly matches: readonly { readonly path: { readonly type: "PathPrefix"; readonly value: string } }[];
    readonly backendRefs: readonly HostnameBackend[];
  }[];
}

/** The same of its TCPRoute (v1, since Gateway API 1.6). */
export interface TcpRouteSpec extends RouteParents {
  readonly rules: readonly { readonly backendRefs: readonly HostnameBackend[] }[];
}

interface RouteParents {
  readonly parentRefs: readonly {
    readonly group: "gateway.networking.k8s.io";
    readonly kind: "Gateway";
    readonly namespace: string;
    readonly name: string;
    readonly port?: number;
  }[];
}

/** A host of Istio's as a backend: it needs no Service. */
export interface HostnameBackend {
  readonly group: "networking.istio.io";
  readonly kind: "Hostname";
  readonly name: string;
  readonly port: number;
  readonly weight: number;
}

/** The part of a core/v1 Service that an alias sets. */
export interface AliasSpec {
  readonly type: "ExternalName";
  readonly externalName: string;
  readonly ports: readonly { readonly name: string; readonly port: number; readonly protocol: "TCP" | "UDP" }[];
}

interface ManifestOf<Kind extends MeshKind, Spec> {
  readonly apiVersion: string;
  readonly kind: Kind;
  readonly metadata: Metadata;
  readonly spec: Spec;
}

export type ServiceEntry = ManifestOf<"ServiceEntry", ServiceEntrySpec>;
export type VirtualService = ManifestOf<"VirtualService", VirtualServiceSpec>;
export type AliasService = ManifestOf<"Service", AliasSpec>;
export type HttpRoute = ManifestOf<"HTTPRoute", HttpRouteSpec>;
export type TcpRoute = ManifestOf<"TCPRoute", TcpRouteSpec>;
export type Manifest = ServiceEntry | VirtualService | AliasService | HttpRoute | TcpRoute;

/** An object as it should stand. The same service in the same state gives the same object (identity) in the next pass. */
export interface OwnedObject {
  readonly key: ObjectKey;
  readonly service: ServiceKey;
  readonly registry: string;
  readonly manifest: Manifest;
}
