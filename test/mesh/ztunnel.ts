import ipaddr from "ipaddr.js";
import { type Manifest, pathOf } from "./manifests.ts";
import { buffers, type Message, messages, numberOf, textOf } from "./protobuf.ts";
import { watchResources } from "./xds.ts";

/** A service as ztunnel knows it. */
export interface AmbientService {
  readonly vips: readonly string[];
  /** Of the service. */
  readonly ports: readonly number[];
  /** Address or `<namespace>/<host>` of the waypoint that calls are led through. */
  readonly waypoint: string | undefined;
}

/** An endpoint of a service as ztunnel knows it. */
export interface AmbientEndpoint {
  readonly address: string;
  /** By port of the service. */
  readonly ports: Readonly<Record<number, number>>;
  /** 0 if it has none. */
  readonly weight: number;
  /** `region/zone/subzone` */
  readonly locality: string;
}

/** What a node's ztunnel gets from istiod. */
export interface Ztunnel {
  service(host: string): AmbientService | undefined;
  /** In the order of their addresses. */
  endpoints(host: string): readonly AmbientEndpoint[];
  stop(): void;
}

/** Ask istiod for all addresses, as ztunnel does (istio pkg/workloadapi/workload.proto). Needs PILOT_ENABLE_AMBIENT. */
export function startZtunnel(): Ztunnel {
  const { resources, stop } = watchResources({
    node: "ztunnel~10.9.0.1~ztunnel-1.istio-system~istio-system.svc.cluster.local",
    type: "type.googleapis.com/istio.workload.Address",
  });
  const all = (field: number) => [...resources.values()].flatMap((address) => messages(address, field));
  return {
    service(host) {
      const service = all(ADDRESS.service).find((one) => textOf(one, SERVICE.host) === host);
      return service === undefined ? undefined : toService(service);
    },
    endpoints(host) {
      const found = all(ADDRESS.workload).flatMap((workload) => endpointsOf(workload, host));
      return found.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    },
    stop,
  };
}

/** Where a waypoint takes calls: HTTP/2 CONNECT over mutual TLS. */
export const HBONE_PORT = 15_008;

/**
 * What stands beside Gateway mesh-services/waypoint once its pod runs: without it istiod takes no waypoint for one.
 *
 * @returns Its objects, and the path of its pod with the status that the pod must get.
 */
export function runningWaypoint(address: string): {
  readonly objects: readonly Manifest[];
  readonly pod: string;
  readonly status: object;
} {
  const [namespace, name] = ["mesh-services", "waypoint-1"];
  const ports = [{ name: "mesh", port: HBONE_PORT }];
  const service: Manifest = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "waypoint", namespace },
    spec: { ports },
  };
  const slice: Manifest = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { "kubernetes.io/service-name": "waypoint" } },
    addressType: "IPv4",
    ports,
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  };
  const pod: Manifest = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { "gateway.networking.k8s.io/gateway-name": "waypoint" } },
    spec: { containers: [{ name: "istio-proxy", image: "proxy" }], nodeName: "node" },
  };
  const status = { phase: "Running", podIP: address, podIPs: [{ ip: address }] };
  return { objects: [service, slice, pod], pod: pathOf(pod), status };
}

/** What a waypoint gets from istiod. */
export interface Waypoint {
  /** Names of its clusters. */
  clusters(): readonly string[];
  /** Where it can lead the calls to that cluster, which must be among those it was started with. */
  endpoints(cluster: string): readonly string[];
  /** Whether a text stands in its routes. */
  says(text: string): boolean;
  /** Whether calls of HTTP to a port of a service go to a cluster, whatever their Host. */
  takesAnyHost(port: number, cluster: string): boolean;
  stop(): void;
}

/** Ask istiod as the waypoint of this name would whose pod has this address. */
export function startWaypoint(namespace: string, name: string, address: string, clusters: readonly string[]): Waypoint {
  const watch = (type: string, names: readonly string[] = []) =>
    watchResources({
      node: `waypoint~${address}~${name}-1.${namespace}~${namespace}.svc.cluster.local`,
      metadata: {
        NAMESPACE: namespace,
        CLUSTER_ID: "Kubernetes",
        LABELS: { "gateway.networking.k8s.io/gateway-name": name },
      },
      type: `type.googleapis.com/envoy.config.${type}`,
      names,
    });
  const known = watch("cluster.v3.Cluster");
  const listeners = watch("listener.v3.Listener");
  const assigned = watch("endpoint.v3.ClusterLoadAssignment", clusters);
  // Groups of a locality, their endpoints, of each the address, which is one of a socket.
  const path = [2, 2, 1, 1, 1];
  const main = () => [...(listeners.resources.get("main_internal")?.values() ?? [])].flat().join("");
  return {
    clusters: () => [...known.resources.keys()],
    endpoints(cluster) {
      const assignment = assigned.resources.get(cluster);
      const sockets = path.reduce(
        (found: readonly Message[], field) => found.flatMap((message) => messages(message, field)),
        assignment === undefined ? [] : [assignment],
      );
      return sockets.map((socket) => `${textOf(socket, 2)}:${numberOf(socket, 3)}`).sort();
    },
    says: (text) => main().includes(text),
    takesAnyHost(port, cluster) {
      // A virtual host as it is on the wire: its name, then its only domain.
      return main().includes(`inbound|http|${port}\u0012\u0001*`) && main().includes(cluster);
    },
    stop() {
      for (const one of [known, listeners, assigned]) one.stop();
    },
  };
}

function toService(service: Message): AmbientService {
  return {
    vips: messages(service, SERVICE.addresses).map(networkAddress),
    ports: messages(service, SERVICE.ports).map((port) => numberOf(port, PORT.service)),
    waypoint: messages(service, SERVICE.waypoint).map(waypointOf)[0],
  };
}

function waypointOf(gateway: Message): string {
  const [name] = messages(gateway, GATEWAY.host);
  if (name !== undefined) return `${textOf(name, 1)}/${textOf(name, 2)}`;
  return messages(gateway, GATEWAY.address).map(networkAddress).join();
}

function endpointsOf(workload: Message, host: string): readonly AmbientEndpoint[] {
  const lists = messages(workload, WORKLOAD.services)
    .filter((entry) => textOf(entry, MAP.key).endsWith(`/${host}`))
    .flatMap((entry) => messages(entry, MAP.value));
  const [locality] = messages(workload, WORKLOAD.locality);
  const [capacity] = messages(workload, WORKLOAD.capacity);
  return lists.map((list) => ({
    address: buffers(workload, WORKLOAD.addresses).map(addressText).join(),
    ports: Object.fromEntries(
      messages(list, 1).map((port) => [numberOf(port, PORT.service), numberOf(port, PORT.target)]),
    ),
    weight: capacity === undefined ? 0 : numberOf(capacity, 1),
    locality: [1, 2, 3]
      .map((field) => textOf(locality, field))
      .filter((part) => part !== "")
      .join("/"),
  }));
}

const networkAddress = (message: Message) => buffers(message, 2).map(addressText).join();

function addressText(bytes: Buffer): string {
  return ipaddr.fromByteArray([...bytes]).toString();
}

const ADDRESS = { workload: 1, service: 2 } as const;
const SERVICE = { host: 3, addresses: 4, ports: 5, waypoint: 7 } as const;
const WORKLOAD = { addresses: 3, services: 22, locality: 24, capacity: 27 } as const;
const PORT = { service: 1, target: 2 } as const;
const GATEWAY = { host: 1, address: 2 } as const;
const MAP = { key: 1, value: 2 } as const;
