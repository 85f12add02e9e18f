import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Agent, request } from "undici";
import { type Child, startChild } from "../servers/child.ts";
import { until } from "../servers/kube-admin.ts";
import type { Call, GrpcCall, HttpCall, Load, LoadTally, LookUp, Reply, TcpCall } from "./calls.ts";
import { nodeOf, type Workload } from "./envoy.ts";
import { XDS } from "./istiod.ts";
import { inPod, type PodNetwork, resolvConf, resolvConfOf } from "./network.ts";

/** How many of some calls each backend answered, and how many failed in which way. */
export type Tally = Readonly<Record<string, number>>;

/** A program in a pod, and what it can be asked to do. A call that fails is told as `"failed: <how>"`. */
export interface App {
  /** Who answers a GET. */
  http(url: string, options?: Omit<HttpCall, "url">): Promise<string>;
  /** Who answers a connection. */
  tcp(host: string, port: number): Promise<string>;
  /** Who answers a unary gRPC call; with xDS if the target says so. */
  grpc(target: string): Promise<string>;
  /** Addresses of a name, or the name of an address, as the pod's C library finds them. */
  lookUp(name: string, family?: LookUp["family"]): Promise<string>;
  /** Make one call many times. */
  tally(call: Call): Promise<Tally>;
  /** Make one call many times, and tell of each. */
  make(call: Call): Promise<readonly Reply[]>;
  /** From now on make calls, as long as the program runs. */
  load(load: Load): Promise<void>;
  /** What came of all loads, by name, since this was asked for last. */
  takeLoads(): Promise<Readonly<Record<string, LoadTally>>>;
}

/** Start the program in a pod's network. Its /etc/resolv.conf is a pod's, with this DNS server. */
export async function startApp(
  dir: string,
  network: PodNetwork,
  workload: Workload,
  nameserver: string,
): Promise<App & { child: Child }> {
  const name = `${workload.name}.${workload.namespace}`;
  const file = (kind: string) => join(dir, `${name}.${kind}`);
  const ofPod = resolvConfOf(dir, name);
  await writeFile(ofPod, resolvConf(workload.namespace, nameserver));
  await writeFile(file("grpc"), JSON.stringify(grpcBootstrap(workload)));
  const [command = "", ...enter] = inPod(network, ofPod);
  const program = ["env", "-u", "NODE_TEST_CONTEXT", `GRPC_XDS_BOOTSTRAP=${file("grpc")}`, process.execPath];
  const child = await startChild(
    command,
    [...enter, ...program, join(import.meta.dirname, "app.ts"), file("app")],
    file("app.out"),
  );
  return { ...callerOf(file("app"), name, child), child };
}

/** What pilot-agent writes for a proxyless gRPC client. */
export function grpcBootstrap(workload: Workload): object {
  return {
    xds_servers: [
      { server_uri: `${XDS.address}:${XDS.port}`, channel_creds: [{ type: "insecure" }], server_features: ["xds_v3"] },
    ],
    node: nodeOf(workload, "sidecar", { GENERATOR: "grpc" }),
  };
}

function callerOf(socketPath: string, name: string, child: Child): App {
  const dispatcher = new Agent({ connect: { socketPath }, headersTimeout: 120_000 });
  let isUp = false;
  const send = async <Answer = Reply[]>(call: object, path = "/") => {
    const { body } = await request(`http://app${path}`, { method: "POST", body: JSON.stringify(call), dispatcher });
    return (await body.json()) as Answer;
  };
  const up = async () => {
    if (isUp) return;
    await until(
      `the program in ${name} is up`,
      async () => Array.isArray(await send({ kind: "http", count: 0 })),
      60_000,
    ).catch((cause) => {
      throw new Error(`Cannot start the program in ${name}:\n${child.logTail()}`, { cause });
    });
    isUp = true;
  };
  const make = async (call: Call) => {
    await up();
    return send(call);
  };
  const saying = ({ who, failed }: Reply) => who ?? `failed: ${failed}`;
  const one = async (call: Call) => (await make(call)).map(saying).join();
  return {
    http: (url, options = {}) => one({ kind: "http", url, ...options } satisfies HttpCall & Call),
    tcp: (host, port) => one({ kind: "tcp", host, port } satisfies TcpCall & Call),
    grpc: (target) => one({ kind: "grpc", target } satisfies GrpcCall & Call),
    lookUp: (host, family) => one({ kind: "lookUp", name: host, ...(family !== undefined && { family }) }),
    make,
    async load(load) {
      await up();
      await send(load, "/load");
    },
    takeLoads: () => send({}, "/loads"),
    async tally(call) {
      const counts: Record<string, number> = {};
      for (const who of (await make(call)).map(saying)) counts[who] = (counts[who] ?? 0) + 1;
      return counts;
    },
  };
}
