import type { ServiceKey } from "./service.ts";

export const MANAGED_BY_LABEL = "app.kubernetes.io/managed-by";
export const MANAGED_BY = "x2istio";
export const OWNER_LABEL = "x2istio.io/owner";
export const REGISTRY_LABEL = "x2istio.io/registry";
/** Every annotation of ours starts so. */
export const ANNOTATION_PREFIX = "x2istio.io/";
export const SERVICE_ANNOTATION = "x2istio.io/service";
export const NAMES_ANNOTATION = "x2istio.io/names";
export const GONE_SINCE_ANNOTATION = "x2istio.io/gone-since";
export const EMPTY_SINCE_ANNOTATION = "x2istio.io/empty-since";
/** Which endpoints of a merged service came from which registry: `dc1=3,prod=2`, in the entry's order. */
export const PROVENANCE_ANNOTATION = "x2istio.io/endpoints-from";
/** Istio's opt-out label of its VIP allocator. */
export const AUTO_ALLOCATE_LABEL = "networking.istio.io/enable-autoallocate-ip";

/** Kinds that this project writes besides its ledger. */
export type MeshKind = "ServiceEntry" | "VirtualService" | "Service";
export const MESH_KINDS: readonly MeshKind[] = ["ServiceEntry", "VirtualService", "Service"];

export const API_VERSIONS: Readonly<Record<MeshKind, string>> = {
  ServiceEntry: "networking.istio.io/v1",
  VirtualService: "networking.istio.io/v1",
  Service: "v1",
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
}

/** The part of istio.io/api networking/v1 ServiceEntry that is written here. */
export interface ServiceEntrySpec {
  readonly hosts: readonly string[];
  readonly addresses?: readonly string[];
  readonly ports: readonly EntryPort[];
  readonly location: "MESH_INTERNAL" | "MESH_EXTERNAL";
  readonly resolution: "STATIC";
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
  readonly exportTo?: readonly string[];
  readonly http?: readonly {
    readonly match: readonly { readonly port: number }[];
    readonly route: readonly RouteDestination[];
  }[];
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
export type Manifest = ServiceEntry | VirtualService | AliasService;

/** An object as it should stand. The same service in the same state gives the same object (identity) in the next pass. */
export interface OwnedObject {
  readonly key: ObjectKey;
  readonly service: ServiceKey;
  readonly registry: string;
  readonly manifest: Manifest;
}
