/**
 * What it costs to read a tree of Dubbo, and how long a change takes from ZooKeeper to the stored ServiceEntry, beside a PATCH of the same
 * API server in the same run. See README.md. Asserts nothing about time.
 *
 * `node test/bench/zookeeper.ts [SAMPLES] [SERVICES,…]`
 */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { providerPath } from "../adapters/zookeeper/registration.ts";
import { freePorts } from "../e2e/cli.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { startZooKeeper, type ZooKeeper } from "../servers/zookeeper.ts";
import type { Writer } from "../servers/zookeeper-writer.ts";
import { emptyNamespace, NAMESPACE, standingEntries } from "./fixture.ts";
import { buildReplica, cpuMs, FLAGS, IMAGE, memoryMiB, startBenchReplica } from "./replica.ts";
import { figuresLine } from "./table.ts";
import { watchEntries } from "./watch-entries.ts";
import type { ReadCost } from "./zookeeper-read.ts";

const ENDPOINTS = 10;
/** More requests at once make the server's memory the limit. */
const AT_ONCE = 500;
const PATCHED = "/apis/networking.istio.io/v1/namespaces/default/serviceentries";
const METHODS = Array.from({ length: 12 }, (_, at) => `findOrdersBy${at}`).join();

const samples = Number(process.argv[2] ?? 100);
const sizes = (process.argv[3] ?? "500,5000").split(",").map(Number);
const dir = await mkdtemp(join(tmpdir(), "x2istio-bench-"));
const server = await startZooKeeper([], "512m");
try {
  const writer = await server.writer();
  let filled = 0;
  for (const services of sizes) {
    await fill(writer, filled, services);
    filled = services;
    const script = join(import.meta.dirname, "zookeeper-read.ts");
    const options = { env: { ...process.env, ...IMAGE } };
    const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, script, server.address], options);
    process.stdout.write(readReport(JSON.parse(stdout) as ReadCost));
  }
  if (samples > 0) {
    await buildReplica();
    const kube = await startKube({ namespaces: [NAMESPACE] });
    try {
      process.stdout.write(await changes(kube, server, writer, filled));
    } finally {
      await kube.stop();
    }
  }
} finally {
  await server.stop();
  await rm(dir, { recursive: true, force: true });
}

function nodeOf(service: number, at: number): string {
  const name = `com.acme.orders.Service${String(service).padStart(5, "0")}`;
  const address = `198.18.${((service * ENDPOINTS + at) >> 8) & 255}.${(service * ENDPOINTS + at) & 255}`;
  return providerPath({ interface: name, address, params: { methods: METHODS, revision: "1.0.0", service, at } });
}

async function fill(writer: Writer, from: number, to: number): Promise<void> {
  const paths = Array.from({ length: (to - from) * ENDPOINTS }, (_, at) =>
    nodeOf(from + Math.floor(at / ENDPOINTS), at % ENDPOINTS),
  );
  for (let at = 0; at < paths.length; at += AT_ONCE)
    await Promise.all(paths.slice(at, at + AT_ONCE).map((path) => writer.create(path)));
}

function readReport({ services, firstMs, pollMs, pollCpuMs, baseMiB, afterMiB, peakMiB }: ReadCost): string {
  const [first, poll, cpu] = [firstMs, pollMs, pollCpuMs].map((ms) => ms.toFixed(0));
  const [base, now, peak] = [baseMiB, afterMiB, peakMiB].map((mib) => mib.toFixed(0));
  return `${services} × ${ENDPOINTS}: first read ${first} ms, a poll ${poll} ms (CPU ${cpu} ms); RSS ${base} MiB before, ${now} after, ${peak} at most\n`;
}

/** Change providers of services that are picked by chance, one after the other. */
async function changes(kube: Kube, { address }: ZooKeeper, writer: Writer, services: number): Promise<string> {
  await emptyNamespace(kube);
  const ports = await freePorts();
  const config = join(dir, "x2istio.yaml");
  await writeFile(
    config,
    `owner: bench
registries:
  - {kind: zookeeper, name: dubbo, address: "${address}"}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
dns: {listen: ["127.0.0.1:${ports.dns}"]}
http: {listen: "127.0.0.1:${ports.http}"}
`,
  );
  const replica = startBenchReplica(config, kube.kubeconfigPath);
  try {
    await until("all entries stand", async () => (await standingEntries(kube)).length >= services, 600_000);
    await delay(5000);
    const watch = await watchEntries(kube);
    const [stored, answered, patched]: [number[], number[], number[]] = [[], [], []];
    await kube.request("POST", PATCHED, entryToPatch());
    const started = { ms: performance.now(), cpu: await cpuMs(replica.pid) };
    for (let at = 0; at < samples; at++) {
      const service = randomInt(services);
      const host = `com.acme.orders.service${String(service).padStart(5, "0")}.default.dubbo.mesh.internal`;
      const further = nodeOf(service, ENDPOINTS + 1 + at);
      const seen = watch.next(host, 60_000);
      const sentMs = performance.now();
      await writer.create(further);
      const answeredMs = performance.now();
      const storedMs = await seen;
      stored.push(storedMs - sentMs);
      answered.push(storedMs - answeredMs);
      await delay(randomInt(20, 120));
      const patchedMs = performance.now();
      await kube.request("PATCH", `${PATCHED}/bench`, { metadata: { annotations: { at: String(at) } } });
      patched.push(performance.now() - patchedMs);
    }
    const share = ((await cpuMs(replica.pid)) - started.cpu) / (performance.now() - started.ms);
    const { now, peak } = await memoryMiB(replica.pid);
    await watch.stop();
    return [
      `\nZooKeeper: ${services} × ${ENDPOINTS}, a provider more in each change\n`,
      figuresLine("change sent to ZooKeeper → entry stored, ms", stored),
      figuresLine("change answered → entry stored, ms", answered),
      figuresLine("PATCH round trip, ms", patched),
      `CPU of x2istio ${(share * 100).toFixed(1)} % of one core; RSS ${now.toFixed(0)} MiB, peak ${peak.toFixed(0)} MiB\n`,
    ].join("");
  } catch (cause) {
    throw new Error(`x2istio run did not get there:\n${replica.output().slice(-2000)}`, { cause });
  } finally {
    await replica.stop();
  }
}

function entryToPatch(): object {
  const endpoints = Array.from({ length: ENDPOINTS }, (_, at) => ({ address: `198.18.0.${at}`, weight: 100 }));
  return {
    ...{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "bench" } },
    spec: {
      hosts: ["bench.example.org"],
      resolution: "STATIC",
      ports: [{ name: "http", number: 80, protocol: "HTTP" }],
      endpoints,
    },
  };
}
