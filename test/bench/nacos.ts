/**
 * How long a change takes from a Nacos server to the stored ServiceEntry, beside a PATCH of the same API server in the same run, and what a
 * first read costs. See README.md. Asserts nothing about time.
 *
 * `node test/bench/nacos.ts [SAMPLES] [SERVICES,…]`
 */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { connect } from "../../adapters/nacos/client/connection.ts";
import { freePorts } from "../e2e/cli.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Nacos, type NacosInstance, startNacos } from "../servers/nacos.ts";
import { type NacosClient, nacosClient } from "../servers/nacos-client.ts";
import { NAMESPACE, standingEntries } from "./fixture.ts";
import type { ReadFigures } from "./read.ts";
import { buildReplica, startBenchReplica } from "./replica.ts";
import { figuresLine } from "./table.ts";
import { watchEntries } from "./watch-entries.ts";

const ENDPOINTS = 10;
const MEASURED = 500;
const PATCHED = "/apis/networking.istio.io/v1/namespaces/default/serviceentries";

const samples = Number(process.argv[2] ?? 100);
const sizes = (process.argv[3] ?? "500,5000").split(",").map(Number);
const dir = await mkdtemp(join(tmpdir(), "x2istio-bench-"));
try {
  for (const services of sizes) {
    const nacos = await startNacos("nacos");
    try {
      const client = await nacosClient(nacos.address);
      await fill(client, services);
      const { address } = nacos;
      process.stdout.write(await firstRead(address, services));
      if (services <= MEASURED) process.stdout.write(await latency(nacos, client, services));
      client.close();
    } finally {
      await nacos.stop();
    }
  }
} finally {
  await rm(dir, { recursive: true });
}

function instances(service: number, weight = 1): readonly [NacosInstance, ...NacosInstance[]] {
  const of = (at: number): NacosInstance => ({
    ...{ serviceName: `s${service}`, ip: `10.${at}.${service >> 8}.${service % 256}` },
    ...{ weight: at === 0 ? weight : 1, metadata: { "preserved.register.source": "SPRING_CLOUD", version: "v1" } },
  });
  return [of(0), ...Array.from({ length: ENDPOINTS - 1 }, (_, at) => of(at + 1))];
}

async function fill(client: NacosClient, services: number): Promise<void> {
  for (let at = 0; at < services; at++) await client.register(...instances(at));
}

async function writeConfig(address: string): Promise<string> {
  const ports = await freePorts();
  const file = join(dir, "nacos.yaml");
  await writeFile(
    file,
    `owner: bench
registries:
  - {kind: nacos, name: prod, address: "${address}", poll: "0 * * * * *"}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
dns: {listen: ["127.0.0.1:${ports.dns}"]}
http: {listen: "127.0.0.1:${ports.http}"}
`,
  );
  return file;
}

/** In a process of its own, whose memory is told. */
async function firstRead(address: string, services: number): Promise<string> {
  const file = join(import.meta.dirname, "read.ts");
  const { stdout } = await promisify(execFile)(process.execPath, [file, await writeConfig(address)]);
  const [first, ...polls] = JSON.parse(stdout) as readonly ReadFigures[];
  const line = ({ ms, cpuMs, requests, rssMiB }: ReadFigures) =>
    `${ms.toFixed(0)} ms, CPU ${cpuMs.toFixed(0)} ms, ${requests} requests, RSS ${rssMiB.toFixed(0)} MiB\n`;
  const poll = polls.at(-1);
  return [
    `\nNacos 3.1: ${services} × ${ENDPOINTS}\n`,
    first === undefined ? "" : `first read          ${line(first)}`,
    poll === undefined ? "" : `poll, unchanged     ${line(poll)}`,
  ].join("");
}

async function latency(nacos: Nacos, client: NacosClient, services: number): Promise<string> {
  await buildReplica();
  const kube = await startKube({ namespaces: [NAMESPACE] });
  const replica = startBenchReplica(await writeConfig(nacos.address), kube.kubeconfigPath);
  const signal = new AbortController().signal;
  let pushed: (atMs: number) => void = () => undefined;
  const witness = await connect(
    {
      ...{ target: `127.0.0.1:${Number(new URL(nacos.address).port) + 1000}`, namespace: "public", timeoutMs: 30_000 },
      headers: async () => ({}),
      onPush: () => pushed(performance.now()),
      onEnd: () => undefined,
    },
    signal,
  );
  try {
    await until("all entries stand", async () => (await standingEntries(kube)).length >= services, 300_000);
    await delay(3000);
    const watch = await watchEntries(kube);
    await kube.request("POST", PATCHED, patched());
    const [allMs, pushMs, ownMs, patchMs]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let at = 0; at < samples; at++) {
      const service = randomInt(services);
      const about = { namespace: "public", groupName: "DEFAULT_GROUP", serviceName: `s${service}`, module: "naming" };
      const subscribe = { ...about, clusters: "", subscribe: true };
      await witness.request("SubscribeServiceRequest", subscribe, {}, signal);
      await delay(1000 + randomInt(20, 120)); // its own first push is none of a change
      const push = new Promise<number>((resolve) => {
        pushed = resolve;
      });
      const stored = watch.next(`s${service}.public.prod.mesh.internal`, 60_000);
      const startedMs = performance.now();
      await client.register(...instances(service, 2 + at));
      const [pushedMs, storedMs] = await Promise.all([push, stored]);
      await witness.request("SubscribeServiceRequest", { ...subscribe, subscribe: false }, {}, signal);
      allMs.push(storedMs - startedMs);
      pushMs.push(pushedMs - startedMs);
      ownMs.push(storedMs - pushedMs);
      patchMs.push(await patch(kube, at));
    }
    await watch.stop();
    return [
      figuresLine("change → stored, ms", allMs),
      figuresLine("  of it until Nacos pushed it, ms", pushMs),
      figuresLine("pushed → stored, ms", ownMs),
      figuresLine("PATCH round trip, ms", patchMs),
    ].join("");
  } catch (cause) {
    throw new Error(`x2istio run did not get there:\n${replica.output().slice(-2000)}`, { cause });
  } finally {
    witness.close();
    await replica.stop();
    await kube.stop();
  }
}

async function patch(kube: Kube, at: number): Promise<number> {
  const startedMs = performance.now();
  await kube.request("PATCH", `${PATCHED}/patched`, { spec: { endpoints: [{ address: "10.0.0.1", weight: at + 1 }] } });
  return performance.now() - startedMs;
}

function patched(): object {
  return {
    ...{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "patched" } },
    spec: {
      ...{ hosts: ["patched.example.org"], resolution: "STATIC", location: "MESH_INTERNAL" },
      ports: [{ number: 8080, name: "http", protocol: "HTTP" }],
      endpoints: [{ address: "10.0.0.1" }],
    },
  };
}
