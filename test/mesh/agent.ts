import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Child, startChild } from "../servers/child.ts";
import { until } from "../servers/kube-admin.ts";
import type { Workload } from "./envoy.ts";
import { XDS } from "./istiod.ts";
import { CLUSTER_DNS, inPod, type PodNetwork, resolvConf } from "./network.ts";
import type { App } from "./pod.ts";

/** What is needed of `ensureServers` besides a mesh. */
export const agentServers = ["pilot-agent"] as const;

/** Where an agent answers the DNS of its pod: there is no rule that leads packets to it, so that it is the pod's DNS server. */
export const CAPTURED_DNS = "127.0.0.1";

/** Istio's default. */
const STATUS_PORT = 15_020;

/** Istio's agent, which stands between the proxies of its pod and istiod, and answers the pod's DNS. */
export interface Agent {
  /** Unix socket where it gives its pod's proxies their configuration. */
  readonly xds: string;
  /** What it wrote for gRPC clients: a file for GRPC_XDS_BOOTSTRAP. */
  readonly grpcBootstrap: string;
  /** The resolv.conf of itself and of the pod's Envoy, both of which ask the cluster's DNS. */
  readonly resolvConf: string;
}

/**
 * Start pilot-agent in a pod, as the injector does but for certificates, and for Envoy, which is started beside it. It learns
 * names only once a proxy has connected to it, and leaves all questions to the cluster's DNS until then.
 *
 * @throws When it does not come up.
 */
export async function startAgent(
  dir: string,
  network: PodNetwork,
  { name, namespace, labels }: Workload,
): Promise<Agent & { readonly child: Child }> {
  const paths = await ensureServers(agentServers);
  if (paths === undefined) throw new Error(`Cannot start an agent: ${noServers}`);
  const home = join(dir, `${name}.${namespace}.agent`);
  await mkdir(home);
  const agent: Agent = {
    xds: join(home, "XDS"),
    grpcBootstrap: join(home, "grpc.json"),
    resolvConf: join(home, "resolv.conf"),
  };
  await writeFile(agent.resolvConf, resolvConf(namespace, CLUSTER_DNS));
  const settings = {
    POD_NAME: name,
    POD_NAMESPACE: namespace,
    INSTANCE_IP: network.address,
    SERVICE_ACCOUNT: "default",
    TRUST_DOMAIN: "cluster.local",
    PROXY_CONFIG: stringify({
      configPath: home,
      discoveryAddress: `${XDS.address}:${XDS.port}`,
      controlPlaneAuthPolicy: "NONE",
    }),
    ISTIO_META_CLUSTER_ID: "Kubernetes",
    ISTIO_META_DNS_CAPTURE: "true",
    ISTIO_META_DNS_AUTO_ALLOCATE: "true",
    ISTIO_METAJSON_LABELS: JSON.stringify(labels),
    DNS_PROXY_ADDR: `${CAPTURED_DNS}:53`,
    GRPC_XDS_BOOTSTRAP: agent.grpcBootstrap,
    DISABLE_ENVOY: "true",
    FILE_MOUNTED_CERTS: "true", // there are none, and none are asked for
  };
  const words = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  const [command = "", ...enter] = inPod(network, agent.resolvConf);
  const program = ["env", `--chdir=${home}`, ...words, paths["pilot-agent"], "proxy", "sidecar"];
  const child = await startChild(command, [...enter, ...program], join(home, "out"));
  await until(`the agent of ${name} is up`, async () => !child.isRunning() || existsSync(agent.grpcBootstrap));
  if (!child.isRunning()) throw new Error(`Cannot start pilot-agent as it ended:\n${child.logTail()}`);
  return { ...agent, child };
}

/** The addresses that the agent of a program's pod has for names, as istiod told it. */
export async function namesOfAgent(app: Pick<App, "http">): Promise<ReadonlyMap<string, readonly string[]>> {
  const { table = {} } = JSON.parse(await app.http(`http://127.0.0.1:${STATUS_PORT}/debug/ndsz`)) as {
    readonly table?: Readonly<Record<string, { readonly ips: readonly string[] }>>;
  };
  return new Map(Object.entries(table).map(([name, { ips }]) => [name, ips]));
}
