import { ensureServers, noServers } from "../servers/build.ts";
import type { Certificates } from "./certificates.ts";
import { type Envoy, type EnvoyContext, marked, runEnvoy, startEnvoy } from "./envoy.ts";
import type { Manifest } from "./manifests.ts";
import type { Mesh, Pod } from "./mesh.ts";
import { CLUSTER_DNS, meshServers, redirectToSidecar } from "./network.ts";
import { type App, startApp } from "./pod.ts";
import { HBONE_PORT } from "./ztunnel.ts";

/** A service that a pod may call. */
export interface Reachable {
  readonly vips: readonly string[];
  readonly ports: readonly number[];
  /** Address of its endpoint, if no waypoint leads there; on the same ports. */
  readonly endpoint?: string;
}

/** Start the proxy of a waypoint, which gets its configuration from istiod. Needs `serveCertificates` and {@link withoutIstiosFilters}. */
export async function startWaypointProxy(pod: Pod): Promise<Envoy> {
  const { child } = await startApp(pod.dir, pod.network, pod.workload, CLUSTER_DNS); // and with it the pod's resolv.conf
  pod.onChild(child, "program");
  return startEnvoy(await contextOf(pod), pod.network, pod.workload, "waypoint");
}

/** Keeps filters from a waypoint that only Istio's own build of Envoy has; they make its metrics. */
export function withoutIstiosFilters(namespace: string, waypoint: string): Manifest {
  const without = (name: string) => ({
    applyTo: "HTTP_FILTER",
    match: {
      context: "SIDECAR_INBOUND",
      listener: {
        filterChain: { filter: { name: "envoy.filters.network.http_connection_manager", subFilter: { name } } },
      },
    },
    patch: { operation: "REMOVE" },
  });
  return {
    apiVersion: "networking.istio.io/v1alpha3",
    kind: "EnvoyFilter",
    metadata: { name: "any-build", namespace },
    spec: {
      targetRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", name: waypoint }],
      configPatches: ["waypoint_downstream_peer_metadata", "waypoint_upstream_peer_metadata"].map(without),
    },
  };
}

/** Where a node's ztunnel leads the calls of a pod. */
export interface NodeRoutes {
  /** Address of the waypoint of all that is not reached directly. */
  readonly waypoint: string;
  readonly services: readonly Reachable[];
}

/**
 * Start a program in a pod whose TCP goes where ztunnel leads it: what is for a VIP through the waypoint, as CONNECT to VIP and
 * port in HTTP/2 with mutual TLS (HBONE), or to an endpoint. ztunnel knows by the address alone which.
 */
export async function startAmbient(
  mesh: Mesh,
  name: string,
  routes: NodeRoutes,
  certificates: Certificates,
): Promise<App> {
  const pod = await mesh.pod(name);
  const { child, ...app } = await startApp(pod.dir, pod.network, pod.workload, CLUSTER_DNS);
  pod.onChild(child, "program");
  const { redirect } = await servers();
  await redirectToSidecar(pod.network, redirect);
  await runEnvoy(await contextOf(pod), pod.network, pod.workload, bootstrapOf(routes, certificates));
  return app;
}

async function servers() {
  const paths = await ensureServers(meshServers);
  if (paths === undefined) throw new Error(`Cannot start a proxy: ${noServers}`);
  return paths;
}

async function contextOf({ dir, onChild }: Pod): Promise<EnvoyContext> {
  return { binary: (await servers()).envoy, dir, onChild };
}

function bootstrapOf({ waypoint, services }: NodeRoutes, certificates: Certificates): object {
  const chains = services.flatMap(({ vips, ports, endpoint }) =>
    ports.map((port) => ({
      // Envoy looks at ports first: a chain without one would be hidden by any other that has it.
      filter_chain_match: {
        prefix_ranges: vips.map((address) => ({ address_prefix: address, prefix_len: 32 })),
        destination_port: port,
      },
      filters: [
        endpoint === undefined ? tcpTo("waypoint", "%DOWNSTREAM_LOCAL_ADDRESS%") : tcpTo(`${endpoint}:${port}`),
      ],
    })),
  );
  const endpoints = services.flatMap(({ ports, endpoint }) =>
    endpoint === undefined ? [] : ports.map((port) => cluster(`${endpoint}:${port}`, endpoint, port)),
  );
  return {
    cluster_manager: { upstream_bind_config: marked },
    static_resources: {
      listeners: [
        {
          name: "pod",
          address: socketAddress("0.0.0.0", 15_001),
          listener_filters: [
            { name: "original_dst", typed_config: typed("filters.listener.original_dst.v3.OriginalDst", {}) },
          ],
          filter_chains: chains,
        },
      ],
      clusters: [{ ...cluster("waypoint", waypoint, HBONE_PORT), ...overHbone(certificates) }, ...endpoints],
    },
  };
}

function tcpTo(to: string, tunnel?: string): object {
  const tunneling = tunnel === undefined ? {} : { tunneling_config: { hostname: tunnel } };
  const fields = { stat_prefix: "pod", cluster: to, ...tunneling };
  return { name: "tcp", typed_config: typed("filters.network.tcp_proxy.v3.TcpProxy", fields) };
}

function cluster(name: string, address: string, port: number): object {
  const endpoint = { address: socketAddress(address, port) };
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
}

function overHbone({ ca, cert, key }: Certificates): object {
  const inline = (bytes: Buffer) => ({ inline_string: bytes.toString() });
  const http = "upstreams.http.v3.HttpProtocolOptions";
  const context = {
    common_tls_context: {
      alpn_protocols: ["h2"],
      tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
      tls_certificates: [{ certificate_chain: inline(cert), private_key: inline(key) }],
      validation_context: { trusted_ca: inline(ca) },
    },
  };
  return {
    transport_socket: {
      name: "tls",
      typed_config: typed("transport_sockets.tls.v3.UpstreamTlsContext", context),
    },
    typed_extension_protocol_options: {
      [`envoy.extensions.${http}`]: typed(http, {
        explicit_http_config: { http2_protocol_options: { max_concurrent_streams: 100 } },
      }),
    },
  };
}

function typed(type: string, fields: object): object {
  return { "@type": `type.googleapis.com/envoy.extensions.${type}`, ...fields };
}

function socketAddress(address: string, port: number): object {
  return { socket_address: { address, port_value: port } };
}
