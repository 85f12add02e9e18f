import fc from "fast-check";
import type { RawObject } from "../../src/kube/client/raw.ts";
import type { WatchedKind } from "../../src/kube/watch/state.ts";
import {
  REPLACES_ANNOTATION,
  SNI_ANNOTATION,
  STAGE_ANNOTATION,
  STAGES,
  WEIGHT_ANNOTATION,
} from "../../src/model/claim.ts";
import {
  API_VERSIONS,
  HANDED_OVER_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type MeshKind,
  NAMES_ANNOTATION,
  OWNER_LABEL,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
} from "../../src/model/objects.ts";
import { PREMADE_NAMESPACE_ANNOTATION, PREMADE_SERVICE_ANNOTATION } from "../../src/model/premade.ts";
import type { Service } from "../../src/model/service.ts";
import { endpoint, NOW_MS, port, service } from "../plan/build.ts";

/** What strangers may know of the estate, and aim at. */
export interface Aims {
  readonly hosts: readonly string[];
  /** Legacy names and aliases, in all their forms. */
  readonly names: readonly string[];
  readonly vips: readonly string[];
  readonly ranges: readonly string[];
  readonly keys: readonly string[];
  /** Of the services, as their registry has them. */
  readonly services: readonly string[];
  /** Namespaces that are short forms of a legacy name: `<service>.<namespace>`. */
  readonly namespaces: readonly string[];
}

/** An object that a tenant of the cluster writes. */
export interface Planted {
  readonly kind: WatchedKind;
  readonly raw: RawObject;
}

/** What strangers do at once. */
export interface Acts {
  readonly planted: readonly Planted[];
  readonly registered: readonly Service[];
}

const OLD_MS = NOW_MS - 365 * 24 * 3_600_000;

/** Whatever a tenant of the cluster may write into namespaces of their own, aimed at what stands. */
export function plantedObject(aims: Aims): fc.Arbitrary<Planted> {
  const namespace = fc.constantFrom("tenant", "other", ...aims.namespaces);
  const name = fc.constantFrom("mine", ...aims.services, ...aims.hosts.slice(0, 4), ...shortNames(aims));
  const host = fc.oneof(
    fc.constantFrom(...aims.hosts, ...aims.names, "mine.example.net"),
    fc.constantFrom("*", "*.mesh.internal", "*.old.example.org", "*.svc.cluster.local", "*.local"),
    fc.constantFrom(...aims.hosts, ...aims.names).map((one) => one.toUpperCase()),
    fc.constantFrom(...aims.names).map((one) => `${one}.`),
  );
  const address = fc.oneof(
    fc.constantFrom(...aims.vips),
    fc.constantFrom(...aims.ranges, "0.0.0.0/0", "192.0.2.1"),
    fc.constantFrom(...aims.vips).map(otherForm),
  );
  const exportTo = fc.constantFrom(undefined, ["."], ["*"], ["~"], ["tenant"], ["apps"], []);
  const specs: Readonly<Record<MeshKind, fc.Arbitrary<{ spec: object; status?: object }>>> = {
    Service: fc
      .record({
        externalIPs: fc.oneof(fc.array(address, { maxLength: 4 }), fc.constant([...aims.vips])),
        clusterIP: fc.oneof(address, fc.constant("10.0.0.9")),
        ingress: fc.array(address, { maxLength: 2 }),
        type: fc.constantFrom("ClusterIP", "LoadBalancer", "ExternalName"),
        externalName: host,
      })
      .map(({ ingress, ...spec }) => ({
        spec: { ...spec, clusterIPs: [spec.clusterIP], ports: [{ port: 80 }] },
        status: { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
      })),
    ServiceEntry: fc
      .record({ hosts: fc.array(host, { minLength: 1, maxLength: 3 }), addresses: fc.array(address), exportTo })
      .map((spec) => ({
        spec: { ...spec, ports: [{ name: "http", number: 80, protocol: "HTTP" }], resolution: "STATIC" },
        status: { addresses: spec.addresses.map((value) => ({ value })) },
      })),
    VirtualService: fc
      .record({
        hosts: fc.array(host, { minLength: 1, maxLength: 3 }),
        exportTo,
        gateways: fc.constantFrom(undefined, ["mesh"], ["tenant/gateway"], ["mesh", "tenant/gateway"]),
      })
      .map((spec) => ({ spec: { ...spec, http: [{ route: [{ destination: { host: "mine.tenant" } }] }] } })),
    HTTPRoute: routeSpec(host),
    TCPRoute: routeSpec(host),
  };
  const metadata = fc.record({
    ...{ namespace, name, createdMs: fc.constantFrom(OLD_MS, NOW_MS) },
    isLabelled: fc.boolean(),
    service: fc.constantFrom(undefined, ...aims.keys, "dc1/shop/nobody", "no key"),
    names: fc.constantFrom(undefined, ...aims.names),
    handedOver: fc.constantFrom(undefined, `east@${new Date(NOW_MS).toISOString()}`),
    claim: claimAnnotations(aims),
  });
  const kind = fc.constantFrom<MeshKind>("Service", "ServiceEntry", "VirtualService", "HTTPRoute", "TCPRoute");
  return kind.chain((of) =>
    fc.tuple(metadata, specs[of]).map(([{ isLabelled, service: key, names, handedOver, claim, ...rest }, parts]) => {
      const annotations = {
        ...claim,
        ...(key === undefined ? {} : { [SERVICE_ANNOTATION]: key }),
        ...(names === undefined ? {} : { [NAMES_ANNOTATION]: names }),
        ...(handedOver === undefined ? {} : { [HANDED_OVER_ANNOTATION]: handedOver }),
      };
      const labels = isLabelled
        ? { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: "east", [REGISTRY_LABEL]: "dc1" }
        : {};
      return { kind: of, raw: rawObject(of, rest, { labels, annotations, ...parts }) };
    }),
  );
}

/** What makes a Service the replacement of another service, where an operator lets it. */
function claimAnnotations(aims: Aims): fc.Arbitrary<Readonly<Record<string, string>>> {
  return fc
    .record({
      service: fc.constantFrom(undefined, ...aims.keys, "dc1/evil/mine", "nobody", "dc1//x"),
      stage: fc.constantFrom(...STAGES, "Inside"),
      weight: fc.constantFrom("0", "100", "-1", "1e3"),
    })
    .map(({ service: key, stage, weight }) =>
      key === undefined
        ? {}
        : {
            [REPLACES_ANNOTATION]: key,
            [STAGE_ANNOTATION]: stage,
            [WEIGHT_ANNOTATION]: weight,
            [SNI_ANNOTATION]: aims.hosts.join(),
          },
    );
}

/** What says who sees what, what is ready, and who takes only mutual TLS. */
function plantedScope(aims: Aims): fc.Arbitrary<Planted> {
  const kind = fc.constantFrom<WatchedKind>("Sidecar", "PeerAuthentication", "EndpointSlice");
  const rest = fc.record({
    namespace: fc.constantFrom("tenant", "other", ...aims.namespaces),
    service: fc.constantFrom("mine", ...aims.services),
    host: fc.constantFrom(...aims.hosts),
  });
  return fc.tuple(kind, rest).map(([of, { namespace, service: name, host }]) => ({
    kind: of,
    raw: {
      metadata: {
        name,
        namespace,
        uid: `uid-${of}-${namespace}-${name}`,
        labels: { "kubernetes.io/service-name": name },
      },
      spec: { egress: [{ hosts: [`*/${host}`] }], mtls: { mode: "STRICT" } },
      endpoints: [{ addresses: ["192.0.2.1"] }],
    } as RawObject,
  }));
}

/** Entries that are to be filled, where aliases stand: of services of others, and of some that nobody lists. */
function plantedPremade(aims: Aims): fc.Arbitrary<Planted> {
  return fc
    .record({
      service: fc.constantFrom(...aims.services, "ghost1", "ghost2", "ghost3"),
      host: fc.constantFrom(...aims.hosts, ...aims.names, "mine.example.net"),
      name: fc.constantFrom("p1", "p2", "p3", "p4", "p5"),
      count: fc.constantFrom(0, 1, 50),
    })
    .map(({ service: of, host, name, count }) => ({
      kind: "ServiceEntry",
      raw: {
        metadata: {
          ...{ name, namespace: "apps", uid: `uid-${name}`, labels: { registry: "dc1" } },
          annotations: { [PREMADE_NAMESPACE_ANNOTATION]: "shop", [PREMADE_SERVICE_ANNOTATION]: of },
        },
        spec: {
          hosts: [host],
          resolution: "STATIC",
          ports: [{ name: "http", number: 80, protocol: "HTTP" }],
          endpoints: Array.from({ length: count }, (_, at) => ({ address: `203.0.113.${at}` })),
        },
      } as RawObject,
    }));
}

/** The same address as it may be written, too; an IPv6 one in full. */
function otherForm(address: string): string {
  return address.includes(":") ? `${address.toUpperCase().replace("::", ":0:0:0:0:0:0:")}/128` : `::ffff:${address}`;
}

function routeSpec(host: fc.Arbitrary<string>): fc.Arbitrary<{ spec: object }> {
  return fc.record({ hostnames: fc.array(host, { maxLength: 2 }), parent: host }).map(({ hostnames, parent }) => ({
    spec: {
      hostnames,
      parentRefs: [{ group: "networking.istio.io", kind: "ServiceEntry", name: parent, namespace: "mesh-services" }],
      rules: [],
    },
  }));
}

/** Names of Services that are the first label of a legacy name. */
function shortNames({ names }: Aims): string[] {
  return names.map((name) => name.split(".")[0] ?? "").filter((name) => name !== "");
}

function rawObject(
  kind: MeshKind,
  { namespace, name, createdMs }: { namespace: string; name: string; createdMs: number },
  { labels, annotations, ...rest }: { labels: object; annotations: object; spec: object; status?: object },
): RawObject {
  return {
    apiVersion: API_VERSIONS[kind],
    kind,
    metadata: {
      ...{ name: name.toLowerCase(), namespace, labels, annotations },
      uid: `uid-${kind}-${namespace}-${name}`,
      resourceVersion: "1000000",
      creationTimestamp: new Date(createdMs).toISOString(),
    },
    ...rest,
  } as RawObject;
}

/** Whatever a tenant of a registry may register beside the services of others. */
export function registeredService(aims: Aims, registry: string): fc.Arbitrary<Service> {
  const victim = fc.constantFrom(...aims.services);
  const name = fc.oneof(
    victim.map((one) => one.toUpperCase()),
    victim.map((one) => `_http._tcp.${one}`),
    victim.map((one) => `${one}.shop`),
    victim.map((one) => `a.${one}`),
    victim.map((one) => `${one}-0123456789abcdef`),
    victim.map((one) => `${one}/x`),
    victim,
    fc.constantFrom(...aims.names, ...aims.hosts, "192-0-2-11.host", "*", "-", "a".repeat(70)),
  );
  const namespace = fc.constantFrom("evil", "old", "a", "shop.old", "SHOP", "_tcp");
  const count = fc.constantFrom(0, 1, 2, 300);
  const address = fc.constantFrom("192.0.2.1", "198.51.100.7", "127.0.0.1", "169.254.169.254", "::1", ...aims.vips);
  return fc
    .record({
      ...{ name, namespace, count, address },
      legacyNames: fc.array(fc.constantFrom(...aims.names, ...aims.hosts, "mine.example.net"), { maxLength: 3 }),
      portName: fc.constantFrom("http", "web", "grpc"),
      number: fc.constantFrom(80, 8080, 65_535),
    })
    .map(({ name, namespace, count, address, legacyNames, portName, number }) =>
      service(name, {
        ...{ registry, namespace, legacyNames },
        ports: [port(portName, number, portName === "grpc" ? "GRPC" : "HTTP")],
        endpoints: Array.from({ length: count }, (_, at) => endpoint(at === 0 ? address : `198.51.100.${at % 250}`)),
      }),
    );
}

/** What strangers do, one after another: of a few objects and services now these are there, now those, with more and fewer endpoints. */
export function strangersActs(aims: Aims, registry: string): fc.Arbitrary<readonly Acts[]> {
  const few = fc.record({
    planted: fc.uniqueArray(
      fc.oneof({ weight: 6, arbitrary: plantedObject(aims) }, plantedScope(aims), plantedPremade(aims)),
      {
        maxLength: 6,
        selector: ({ kind, raw }) => `${kind}/${raw.metadata?.namespace}/${raw.metadata?.name}`,
      },
    ),
    registered: fc.uniqueArray(registeredService(aims, registry), {
      maxLength: 6,
      selector: ({ namespace, name }) => `${namespace}/${name}`,
    }),
  });
  return few.chain(({ planted, registered }) => {
    const some = fc.tuple(fc.subarray([...planted]), fc.subarray([...registered]), fc.constantFrom(0, 1, 1000));
    return fc.array(some, { maxLength: 2 }).map((later) => [
      { planted, registered },
      ...later.map(([objects, services, most]) => ({
        planted: objects,
        registered: services.map((one) => ({ ...one, endpoints: one.endpoints.slice(0, most) })),
      })),
    ]);
  });
}
