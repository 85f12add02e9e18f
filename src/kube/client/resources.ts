import { API_VERSIONS } from "../../model/objects.ts";

/** A kind of object and where the API server keeps it. */
export interface Resource {
  readonly kind: string;
  readonly apiVersion: string;
  readonly plural: string;
}

/** All kinds that are read or written here, by kind. */
export const RESOURCES = {
  ServiceEntry: { kind: "ServiceEntry", apiVersion: API_VERSIONS.ServiceEntry, plural: "serviceentries" },
  VirtualService: { kind: "VirtualService", apiVersion: API_VERSIONS.VirtualService, plural: "virtualservices" },
  Service: { kind: "Service", apiVersion: API_VERSIONS.Service, plural: "services" },
  HTTPRoute: { kind: "HTTPRoute", apiVersion: API_VERSIONS.HTTPRoute, plural: "httproutes" },
  TCPRoute: { kind: "TCPRoute", apiVersion: API_VERSIONS.TCPRoute, plural: "tcproutes" },
  EndpointSlice: { kind: "EndpointSlice", apiVersion: "discovery.k8s.io/v1", plural: "endpointslices" },
  Sidecar: { kind: "Sidecar", apiVersion: "networking.istio.io/v1", plural: "sidecars" },
  PeerAuthentication: {
    kind: "PeerAuthentication",
    apiVersion: "security.istio.io/v1",
    plural: "peerauthentications",
  },
  Namespace: { kind: "Namespace", apiVersion: "v1", plural: "namespaces" },
  ConfigMap: { kind: "ConfigMap", apiVersion: "v1", plural: "configmaps" },
  Event: { kind: "Event", apiVersion: "v1", plural: "events" },
  Lease: { kind: "Lease", apiVersion: "coordination.k8s.io/v1", plural: "leases" },
} as const satisfies Readonly<Record<string, Resource>>;

/** Path of all objects of a kind: in the whole cluster, or in one namespace. */
export function collectionPath({ apiVersion, plural }: Resource, namespace?: string): string {
  const base = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return namespace === undefined
    ? `${base}/${plural}`
    : `${base}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
}

/** Path of one object. */
export function objectPath(resource: Resource, namespace: string, name: string): string {
  return `${collectionPath(resource, namespace)}/${encodeURIComponent(name)}`;
}

/** The API group, empty for the core group. */
export function groupOf({ apiVersion }: Resource): string {
  return apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
}
