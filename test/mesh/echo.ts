import { open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureServers, noServers } from "../servers/build.ts";
import { startChild } from "../servers/child.ts";
import { until } from "../servers/kube-admin.ts";
import type { Pod } from "./mesh.ts";
import { grpcBootstrap } from "./pod.ts";

/** What is needed of `ensureServers` besides a mesh. */
export const echoServers = ["echo"] as const;

/** Calls that Istio's echo client makes, without an end. It is written in Go, with grpc-go. */
export interface EchoLoad {
  /** What came of all calls so far: how many each version answered, and how many failed in which way. */
  sum(): Promise<{
    readonly who: Readonly<Record<string, number>>;
    readonly failed: Readonly<Record<string, number>>;
  }>;
}

/**
 * Start Istio's echo client in a pod: it calls `target` so many times a second on one channel, without retries. Its configuration
 * comes from istiod, or from the pod's agent by the bootstrap that this wrote.
 */
export async function echoLoad(pod: Pod, target: string, perSecond: number, agent?: string): Promise<EchoLoad> {
  const [client] = await programs();
  const bootstrap = agent ?? join(pod.dir, `${pod.workload.name}.grpc`);
  if (agent === undefined) await writeFile(bootstrap, JSON.stringify(grpcBootstrap(pod.workload)));
  const flags = {
    qps: String(perSecond),
    count: "10000000",
    timeout: "2h", // of all calls together
    log_output_level: "default:error,forwarder:debug",
  };
  const log = join(pod.dir, `${pod.workload.name}.echo`);
  const [command = "", ...enter] = pod.network.enter;
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = await startChild(
    command,
    [...enter, "env", `GRPC_XDS_BOOTSTRAP=${bootstrap}`, client, ...args, target],
    log,
  );
  pod.onChild(child, "echo client");
  const file = await open(log);
  void child.exited.then(() => file.close());
  const who: Record<string, number> = {};
  const failed: Record<string, number> = {};
  let rest = "";
  return {
    async sum() {
      if (!child.isRunning()) throw new Error(`The echo client has ended:\n${child.logTail()}`);
      const lines = (rest + (await readFile(file, "utf8"))).split("\n"); // from where it was read last
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const [, version] = /^\[\d+ body\] ServiceVersion=(.*)$/.exec(line) ?? [];
        if (version !== undefined) who[version] = (who[version] ?? 0) + 1;
        const [, how] = /\trequest failed: (.*)$/.exec(line) ?? [];
        if (how !== undefined) failed[how] = (failed[how] ?? 0) + 1;
      }
      return { who: { ...who }, failed: { ...failed } };
    },
  };
}

/** Start Istio's echo server in a pod: gRPC on a port, which answers with this version. Gives its address. */
export async function echoServer(pod: Pod, version: string, port: number): Promise<string> {
  const [, server] = await programs();
  const [command = "", ...enter] = pod.network.enter;
  const flags = [`--grpc=${port}`, `--version=${version}`, "--port=18080", "--tcp=18081", "--metrics=0"];
  const child = await startChild(
    command,
    [...enter, server, ...flags, "--log_output_level=default:error,endpoint:info"],
    join(pod.dir, `${pod.workload.name}.echo`),
  );
  pod.onChild(child, "echo server");
  await until(`the echo server ${version} listens`, async () => child.logTail().includes("ready for"));
  return pod.network.address;
}

async function programs(): Promise<readonly [client: string, server: string]> {
  const paths = await ensureServers(echoServers);
  if (paths === undefined) throw new Error(`Cannot start an echo program: ${noServers}`);
  return [join(paths.echo, "client"), join(paths.echo, "server")];
}
