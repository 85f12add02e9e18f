import type { AliasService, OwnedObject, ServiceEntry } from "../../src/model/objects.ts";
import { objectKey } from "../../src/model/objects.ts";

/** Namespaces that the tests of this folder use. */
export const MESH = "mesh-services";
export const SHOP = "shop";

const labels = {
  "app.kubernetes.io/managed-by": "x2istio",
  "x2istio.dev/owner": "east",
  "x2istio.dev/registry": "vms",
};

/** A ServiceEntry of service vms/default/`name`. */
export function entryOf(
  name: string,
  endpoints = ["192.0.2.1"],
  annotations: Readonly<Record<string, string>> = {},
): OwnedObject & { readonly manifest: ServiceEntry } {
  const host = `${name}.mesh.internal`;
  const service = `vms/default/${name}`;
  return {
    key: objectKey("ServiceEntry", MESH, host),
    service,
    registry: "vms",
    manifest: {
      apiVersion: "networking.istio.io/v1",
      kind: "ServiceEntry",
      metadata: {
        name: host,
        namespace: MESH,
        labels,
        annotations: { "x2istio.dev/service": service, ...annotations },
      },
      spec: {
        hosts: [host],
        addresses: ["240.241.0.1"],
        ports: [{ name: "http", number: 80, protocol: "HTTP" }],
        location: "MESH_INTERNAL",
        resolution: "STATIC",
        endpoints: endpoints.map((address) => ({ address })),
      },
    },
  };
}

/** Its alias in namespace shop. */
export function aliasOf(
  name: string,
  target = `${name}.mesh.internal`,
): OwnedObject & { readonly manifest: AliasService } {
  const service = `vms/default/${name}`;
  return {
    key: objectKey("Service", SHOP, name),
    service,
    registry: "vms",
    manifest: {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: SHOP, labels, annotations: { "x2istio.dev/service": service } },
      spec: { type: "ExternalName", externalName: target, ports: [{ name: "http", port: 80, protocol: "TCP" }] },
    },
  };
}

/** Path of a namespace's ServiceEntries, or of one. */
export function entryPath(namespace: string, name?: string): string {
  const path = `/apis/networking.istio.io/v1/namespaces/${namespace}/serviceentries`;
  return name === undefined ? path : `${path}/${name}`;
}

/** Path of a namespace's Services, or of one. */
export function servicePath(namespace: string, name?: string): string {
  const path = `/api/v1/namespaces/${namespace}/services`;
  return name === undefined ? path : `${path}/${name}`;
}
