import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { type Child, startChild } from "../servers/child.ts";
import { until } from "../servers/kube-admin.ts";
import { type StartContext, XDS } from "./istiod.ts";
import { inPod, NODE, type PodNetwork, resolvConfOf, SIDECAR_MARK } from "./network.ts";

/** Who a pod is to istiod. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly locality: { readonly region?: string; readonly zone?: string; readonly sub_zone?: string };
  readonly addresses: readonly string[];
  /** Further metadata of its proxy. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** A proxy that istiod configures. */
export interface Envoy {
  /** Its whole configuration, as its `/config_dump` shows it. */
  configDump(): Promise<ConfigDump>;
  /** What of it tells where a call goes: listeners, virtual hosts with their domains, endpoints; for people. */
  summary(): Promise<string>;
  /** Where calls to a port of a host can go. */
  endpoints(host: string, port: number): Promise<readonly { readonly address: string; readonly port: number }[]>;
  /** One counter or gauge; 0 if there is none of that name. */
  stat(name: string): Promise<number>;
  logTail(): string;
}

/** As far as the tests look at it. */
export interface ConfigDump {
  // biome-ignore lint/suspicious/noExplicitAny: it is a tree of some forty message types
  readonly configs: readonly any[];
}

/** What a proxy is to istiod. */
export type ProxyKind = "sidecar" | "router" | "waypoint";

/** Identity that istiod knows a client of its by. */
export function nodeOf(
  { name, namespace, labels, locality, addresses, metadata }: Workload,
  kind: ProxyKind,
  mode: Readonly<Record<string, string>>,
) {
  return {
    id: `${kind}~${addresses[0]}~${name}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: `${name}.${namespace}`,
    locality,
    metadata: {
      NAME: name,
      NAMESPACE: namespace,
      CLUSTER_ID: "Kubernetes",
      LABELS: labels,
      INSTANCE_IPS: addresses.join(),
      ...mode,
      ...metadata,
    },
  };
}

/**
 * Start a proxy in a pod: a sidecar that takes what leaves the pod, a gateway or a waypoint. Resolves once it has its
 * configuration, from the pod's agent if there is one.
 */
export async function startEnvoy(
  context: EnvoyContext,
  network: PodNetwork,
  workload: Workload,
  kind: ProxyKind,
  agent?: { readonly xds: string; readonly resolvConf: string },
): Promise<Envoy> {
  const bootstrap = {
    ...bootstrapOf(nodeOf(workload, kind, MODES[kind]), agent?.xds),
    ...(kind === "waypoint" && { bootstrap_extensions: [internalListeners] }),
  };
  const { child, admin } = await runEnvoy(context, network, workload, bootstrap, {
    resolvConf: agent?.resolvConf,
    ...(kind === "waypoint" && { drain: AGENTS_DRAIN }),
  });
  const configDump = async () => JSON.parse(await admin("/config_dump?include_eds")) as ConfigDump;
  return {
    configDump,
    async endpoints(host, port) {
      const wanted = `outbound|${port}||${host}`;
      return endpointsOf(await configDump()).get(wanted) ?? [];
    },
    summary: async () => summarize(await configDump()),
    async stat(of) {
      const filter = `^${of.replace(/[|.*+?()[\]\\^$]/g, "\\$&")}$`;
      const found = await admin(`/stats?filter=${encodeURIComponent(filter)}`);
      const line = found.split("\n").find((one) => one.startsWith(`${of}: `));
      return line === undefined ? 0 : Number(line.slice(of.length + 2));
    },
    logTail: () => child.logTail(),
  };
}

/** What an Envoy is started with. */
export type EnvoyContext = Omit<StartContext, "kube">;

/** Start an Envoy in a pod that has its program. Resolves once it serves what its bootstrap says. */
export async function runEnvoy(
  { binary, dir, onChild }: EnvoyContext,
  network: PodNetwork,
  workload: Workload,
  bootstrap: object,
  {
    resolvConf,
    drain = ["--drain-time-s", "1"],
  }: { readonly resolvConf?: string | undefined; readonly drain?: readonly string[] } = {},
): Promise<{ readonly child: Child; admin(path: string): Promise<string> }> {
  const name = `${workload.name}.${workload.namespace}`;
  const socket = join(dir, `${name}.admin`);
  const file = join(dir, `${name}.json`);
  await writeFile(file, JSON.stringify({ ...bootstrap, admin: { address: { pipe: { path: socket } } } }));
  const [command = "", ...words] = inPod(network, resolvConf ?? resolvConfOf(dir, name));
  const flags = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", ...drain];
  const child = await startChild(command, [...words, binary, "-c", file, ...flags], join(dir, `${name}.out`));
  onChild(child, `Envoy of ${name}`);
  const admin = adminOf(socket);
  await until(
    `Envoy of ${name} has its configuration`,
    async () => !child.isRunning() || (await admin("/ready")).startsWith("LIVE"),
    60_000,
  ).catch((cause) => {
    throw new Error(`Cannot start Envoy:\n${child.logTail()}`, { cause });
  });
  if (!child.isRunning()) throw new Error(`Cannot start Envoy as it ended:\n${child.logTail()}`);
  return { child, admin };
}

/** Further metadata by kind. To a waypoint of that version istiod sends no type of filter state that only Istio's own build has. */
const MODES: Readonly<Record<ProxyKind, Readonly<Record<string, string>>>> = {
  sidecar: { INTERCEPTION_MODE: "REDIRECT" },
  router: {},
  waypoint: { ISTIO_VERSION: "1.29.1" },
};

/**
 * As pilot-agent starts it: a listener that changes has its connections told at once to end, and closed after so long. Routes
 * of a waypoint are in its listener, so that each change of them is one of it.
 */
const AGENTS_DRAIN = ["--drain-time-s", "45", "--drain-strategy", "immediate"] as const;

/** What the listeners of a waypoint are joined by. */
const internalListeners = {
  name: "envoy.bootstrap.internal_listener",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
    buffer_size_kb: 64,
  },
};

function adminOf(socketPath: string): (path: string) => Promise<string> {
  const dispatcher = new Agent({ connect: { socketPath } });
  return async (path) => (await request(`http://envoy${path}`, { dispatcher })).body.text();
}

function bootstrapOf(node: object, agentSocket: string | undefined): object {
  const ads = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
  const xds = "xds-grpc";
  return {
    node,
    dynamic_resources: {
      lds_config: ads,
      cds_config: ads,
      ads_config: {
        api_type: "DELTA_GRPC", // as pilot-agent asks
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: xds } }],
      },
    },
    cluster_manager: { upstream_bind_config: marked },
    static_resources: { clusters: [grpcCluster(xds, agentSocket ?? XDS), grpcCluster("sds-grpc", SDS)] },
  };
}

/** How what a proxy sends is told from what it is to take. Istio does so by its user; a user namespace may have one user only. */
export const marked = {
  socket_options: [
    { description: "mark", level: 1, name: 36, int_value: SIDECAR_MARK, state: "STATE_PREBIND" }, // SOL_SOCKET, SO_MARK
  ],
};

/** The agent that gives a sidecar its certificates, if a test has one. */
export const SDS = { address: NODE, port: 15_012 } as const;

function grpcCluster(name: string, at: string | { readonly address: string; readonly port: number }): object {
  const http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const address =
    typeof at === "string" ? { pipe: { path: at } } : { socket_address: { address: at.address, port_value: at.port } };
  const endpoint = { address };
  return {
    name,
    type: "STATIC",
    connect_timeout: "1s",
    typed_extension_protocol_options: {
      [http]: { "@type": `type.googleapis.com/${http}`, explicit_http_config: { http2_protocol_options: {} } },
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
}

/* biome-ignore-start lint/suspicious/noExplicitAny: see ConfigDump */
function summarize({ configs }: ConfigDump): string {
  const all = (field: string): any[] => configs.flatMap((config) => config[field] ?? []);
  const listeners = all("dynamic_listeners").map(
    ({ name, error_state: error, active_state: active }) =>
      `listener ${name}${active === undefined ? " (not active)" : ""}${error === undefined ? "" : ` refused: ${error.details}`}`,
  );
  const hosts = all("dynamic_route_configs").flatMap(({ route_config: { name, virtual_hosts: found = [] } }) =>
    found.map(
      (host: any) =>
        `route ${name}: ${host.domains.join(" ")} → ${(host.routes ?? [])
          .map(({ route, direct_response: direct }: any) =>
            JSON.stringify(route?.weighted_clusters?.clusters ?? route?.cluster ?? direct?.status),
          )
          .join(", ")}`,
    ),
  );
  const endpoints = [...endpointsOf({ configs })].map(([name, found]) => {
    const shown = found
      .slice(0, 8)
      .map(({ address, port, weight }) => `${address}:${port}${weight === undefined ? "" : `*${weight}`}`);
    return `endpoints ${name}: ${shown.join(" ")}${found.length > 8 ? ` and ${found.length - 8} more` : ""}`;
  });
  return [listeners, hosts, endpoints].flatMap(first).join("\n");
}

/** As many as can be looked through. */
function first(lines: readonly string[]): readonly string[] {
  const most = 40;
  return lines.length <= most ? lines : [...lines.slice(0, most), `and ${lines.length - most} more`];
}

interface KnownEndpoint {
  readonly address: string;
  readonly port: number;
  readonly weight?: number;
}

/** By cluster. */
function endpointsOf({ configs }: ConfigDump): ReadonlyMap<string, readonly KnownEndpoint[]> {
  const all: any[] = configs.flatMap((config) => config.dynamic_endpoint_configs ?? []);
  return new Map(
    all.map(({ endpoint_config: { cluster_name: name, endpoints: groups = [] } }) => [
      name,
      groups.flatMap((group: any) =>
        (group.lb_endpoints ?? []).map(({ endpoint, load_balancing_weight: weight }: any) => ({
          address: endpoint.address.socket_address?.address,
          port: endpoint.address.socket_address?.port_value,
          weight,
        })),
      ),
    ]),
  );
}
/* biome-ignore-end lint/suspicious/noExplicitAny: see ConfigDump */
