import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Child, startChild } from "../servers/child.ts";
import type { Kube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { NODE } from "./network.ts";

/** Where proxies and proxyless clients get their configuration. */
export const XDS = { address: NODE, port: 15_010 } as const;
const DEBUG = "http://127.0.0.1:8085";
const METRICS = "http://127.0.0.1:15014/metrics";

/** Istio's control plane. */
export interface Istiod {
  /** What stands at `/debug/<path>`. */
  debug<Body>(path: string): Promise<Body>;
  /** How often it has sent each kind of resource to any proxy: `{cds, eds, lds, rds, nds}`. */
  pushes(): Promise<Readonly<Record<string, number>>>;
  /** Wait until all proxies have taken over what it knows, and nothing new is on its way. */
  settled(): Promise<void>;
  logTail(): string;
}

/** Options of {@link startIstiod}. */
export interface IstiodOptions {
  /** Fields of the mesh configuration. */
  readonly mesh?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Start istiod on an API server, without certificates: proxies speak plain text to it and to each other.
 *
 * @throws When it does not become ready.
 */
export async function startIstiod(
  { binary, dir, kube, onChild }: StartContext,
  { mesh = {}, env = {} }: IstiodOptions,
): Promise<Istiod> {
  const config = join(dir, "mesh.yaml");
  await writeFile(config, stringify({ enableAutoMtls: false, rootNamespace: "istio-system", ...mesh }));
  const flags = {
    kubeconfig: kube.kubeconfigPath,
    grpcAddr: `${XDS.address}:${XDS.port}`,
    httpAddr: DEBUG.slice("http://".length),
    httpsAddr: "",
    secureGRPCAddr: "",
    monitoringAddr: new URL(METRICS).host,
    meshConfig: config,
    networksConfig: "none",
    ctrlz_port: "0",
  };
  const settings = {
    POD_NAME: "istiod-0",
    POD_NAMESPACE: "istio-system",
    ENABLE_CA_SERVER: "false",
    INJECT_ENABLED: "false",
    XDS_AUTH: "false",
    // These need filters that only Istio's own build of Envoy has.
    PILOT_ENABLE_METADATA_EXCHANGE: "false",
    PILOT_ENABLE_ALPN_FILTER: "false",
    PILOT_ENABLE_TELEMETRY_LABEL: "false",
    ...env,
  };
  const words = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = await startChild("env", [...words, binary, "discovery", ...args], join(dir, "istiod.out"));
  onChild(child, "istiod");
  await until(
    "istiod is ready",
    async () => !child.isRunning() || (await fetch(`${DEBUG}/ready`)).status === 200,
    60_000,
  ).catch((cause) => {
    throw new Error(`Cannot start istiod:\n${child.logTail()}`, { cause });
  });
  if (!child.isRunning()) throw new Error(`Cannot start istiod as it ended:\n${child.logTail()}`);
  return control(child);
}

/** What all servers of a mesh are started with. */
export interface StartContext {
  readonly binary: string;
  /** Holds its configuration and log. */
  readonly dir: string;
  readonly kube: Kube;
  /** Called for each process, with a name for people. */
  onChild(child: Child, name: string): void;
}

function control(child: Child): Istiod {
  const debug = async <Body>(path: string) => {
    const answer = await fetch(`${DEBUG}/debug/${path}`);
    if (answer.status !== 200) throw new Error(`Cannot read /debug/${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as Body;
  };
  const pushes = async () => {
    const text = await (await fetch(METRICS)).text();
    const samples = text.matchAll(/^pilot_xds_pushes\{.*type="(\w+)".*\} (\S+)$/gm);
    const counts: Record<string, number> = {};
    for (const [, type = "", count] of samples) counts[type] = (counts[type] ?? 0) + Number(count);
    return counts;
  };
  return {
    debug,
    pushes,
    async settled() {
      let before = "";
      let sinceMs = Date.now();
      await until("istiod and its proxies have settled", async () => {
        const now = JSON.stringify([await pushes(), await debug("syncz")]);
        if (now !== before) sinceMs = Date.now();
        before = now;
        return Date.now() - sinceMs > 400; // four times as long as istiod waits for further changes
      });
    },
    logTail: () => child.logTail(),
  };
}
