import { API_VERSIONS, type ServiceEntry } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import type { Kube } from "../servers/kube.ts";

/** Namespace of everything that the benchmark writes. */
export const NAMESPACE = "mesh-services";
export const REGISTRY = "vms";

/** Every fifth service has an old name, and so a VirtualService besides its ServiceEntry and its alias. */
const LEGACY_EVERY = 5;

/** The same services in each run. Endpoints are in 198.18.0.0/15, which is set aside for benchmarks (RFC 2544). */
export function fixture(services: number, endpoints: number): Service[] {
  return Array.from({ length: services }, (_, index) => {
    const name = `orders-${String(index).padStart(5, "0")}`;
    return {
      registry: REGISTRY,
      namespace: "shop",
      name,
      ports: [
        { name: "http", number: 8080, protocol: "HTTP" },
        { name: "grpc", number: 9090, protocol: "GRPC" },
      ],
      endpoints: Array.from({ length: endpoints }, (_, at) => ({
        address: addressOf(index * endpoints + at),
        weight: 100,
        labels: { version: at % 2 === 0 ? "v1" : "v2" },
        region: "eu",
        zone: `eu-1${at % 2 === 0 ? "a" : "b"}`,
      })),
      leftOut: [],
      metadata: { team: "checkout" },
      legacyNames: index % LEGACY_EVERY === 0 ? [`${name}.corp.example.com`] : [],
      source: `services.yaml:${index + 2}`,
      notes: [],
    };
  });
}

/** The services as the file of a static registry. */
export function fixtureFile(services: readonly Service[]): string {
  const lines = services.map(({ registry: _, leftOut: __, source: ___, notes: ____, ...written }) =>
    JSON.stringify(written),
  );
  return ["services:", ...lines.map((line) => `  - ${line}`), ""].join("\n");
}

/** A configuration that reads it and gives each service an alias. */
export function fixtureConfig(): string {
  return `owner: bench
registries:
  - {kind: static, name: ${REGISTRY}, file: services.yaml}
aliases:
  - {registry: ${REGISTRY}, as: "{service}"}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
`;
}

/** Delete what a run wrote, the VIP ledger and the Lease included. */
export async function emptyNamespace(kube: Pick<Kube, "request">): Promise<void> {
  const istio = `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}`;
  const core = `/api/v1/namespaces/${NAMESPACE}`;
  const leases = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
  for (const path of [
    `${istio}/serviceentries`,
    `${istio}/virtualservices`,
    `${core}/services`,
    `${core}/configmaps`,
    leases,
  ]) {
    const { status, body } = await kube.request("DELETE", path);
    if (status !== 200) throw new Error(`Cannot delete ${path}: ${status} ${JSON.stringify(body)}`);
  }
}

/** The ServiceEntries of a run, as one would write them again. */
export async function standingEntries(kube: Pick<Kube, "request">): Promise<ServiceEntry[]> {
  const path = `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}/serviceentries`;
  const { body } = await kube.request<{ readonly items: readonly ServiceEntry[] }>("GET", path);
  return body.items.map(({ metadata: { name, namespace, labels, annotations }, spec }) => ({
    apiVersion: API_VERSIONS.ServiceEntry,
    kind: "ServiceEntry",
    metadata: {
      name,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec,
  }));
}

function addressOf(index: number): string {
  return `198.${18 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}
