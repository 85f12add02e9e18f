/**
 * How long a change takes from a registry to the stored ServiceEntry, beside a PATCH of the same API server in the same run,
 * and what it costs, in a registry in which another service changes every second. See README.md. Asserts nothing about time.
 *
 * `node test/bench/latency.ts [SAMPLES [SERVICES,… [https,http,polaris]]]`
 */
import { randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePorts } from "../e2e/cli.ts";
import { type Consul, startConsul } from "../servers/consul.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { addedWrites } from "../servers/kube-writes.ts";
import { change, fillConsul, KINDS, type Kind, placesOf } from "./consul-fixture.ts";
import { NAMESPACE } from "./fixture.ts";
import { polarisReport } from "./latency-polaris.ts";
import { type BenchReplica, buildReplica, cpuMs, memoryMiB, type Stall, startBenchReplica } from "./replica.ts";
import { figuresLine, median } from "./table.ts";
import { type EntryWatch, watchEntries } from "./watch-entries.ts";

const ENDPOINTS = 10;
const IDLE_MS = 20_000;
const REGISTRY = "dc1";
/** The other services that change, one each second. */
const OTHERS = 100;
const OTHERS_MS = 1000;
/** Where the benchmark's own entry stands that it patches. */
const PATCHED = "/apis/networking.istio.io/v1/namespaces/default/serviceentries";

interface Bench {
  readonly dir: string;
  readonly kube: Kube;
  readonly consul: Consul;
}

interface Sample {
  readonly kind: Kind;
  /** From the request that changes the registry, and from its answer, to the stored entry. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

interface Figures {
  readonly title: string;
  readonly samples: readonly Sample[];
  readonly patchMs: readonly number[];
  readonly writes: Readonly<Record<string, number>>;
  readonly idle: Usage;
  /** While another service changes every second, and nothing else. */
  readonly calm: Usage;
  readonly busy: Usage;
  /** Changes of others during `busy`. */
  readonly others: number;
  readonly stall: Stall;
  readonly memory: { readonly now: number; readonly peak: number };
}

/** CPU in ms over some time. */
interface Usage {
  readonly ms: number;
  readonly replica: number;
  readonly registry: number;
}

/** Changes that stand: the next of the same instance takes it back. */
const done = new Set<string>();
const samples = Number(process.argv[2] ?? 100);
const sizes = (process.argv[3] ?? "500,1000,10000").split(",").map(Number);
const parts = (process.argv[4] ?? "https,http,polaris").split(",");
const dir = await mkdtemp(join(tmpdir(), "x2istio-bench-"));
try {
  await buildReplica();
  const kube = await startKube({ namespaces: [NAMESPACE] });
  const consul = await startConsul({ tls: "server" });
  try {
    const bench: Bench = { dir, kube, consul };
    let filled = 0;
    for (const services of sizes) {
      say(`filling Consul with ${services} × ${ENDPOINTS}`);
      await fillConsul(consul, services, ENDPOINTS, filled);
      filled = services;
      for (const address of [consul.httpsAddress, consul.address])
        if (parts.includes(new URL(address).protocol.slice(0, -1))) await measureAll(bench, services, address);
    }
    for (const services of parts.includes("polaris") ? sizes.slice(0, 1) : [])
      process.stdout.write(await polarisReport(kube, dir, services, samples));
  } finally {
    await consul.stop();
    await kube.stop();
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}

async function measureAll(bench: Bench, services: number, address: string): Promise<void> {
  const isTls = address.startsWith("https");
  const replica = await startReplica(bench, services, address);
  const watch = await watchEntries(bench.kube);
  try {
    const title = `${services} × ${ENDPOINTS}, ${isTls ? "HTTPS" : "plain HTTP"}`;
    say(`measuring ${title}`);
    process.stdout.write(report(await measure({ bench, replica, watch, services, title })));
  } catch (error) {
    process.stderr.write(replica.output().split("\n").slice(-5).join("\n"));
    throw error;
  } finally {
    await watch.stop();
    await replica.stop();
  }
}

/** Start X2Istio and wait until all entries stand and its watches have settled. */
async function startReplica({ dir, kube, consul }: Bench, services: number, address: string): Promise<BenchReplica> {
  const ports = await freePorts();
  const config = join(dir, "x2istio.yaml");
  const tls = address.startsWith("https") ? `, tls: {ca: ${consul.tls?.ca}}` : "";
  await writeFile(
    config,
    `owner: bench
registries:
  - {kind: consul, name: ${REGISTRY}, address: "${address}"${tls}}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
dns: {listen: ["127.0.0.1:${ports.dns}"]}
http: {listen: "127.0.0.1:${ports.http}"}
`,
  );
  const startedMs = performance.now();
  const replica = startBenchReplica(config, kube.kubeconfigPath);
  const path = `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}/serviceentries?limit=1`;
  await until(
    "all entries stand",
    async () => {
      type List = { items: unknown[]; metadata: { remainingItemCount?: number } };
      const { body } = await kube.request<List>("GET", path);
      return (body.items?.length ?? 0) + (body.metadata.remainingItemCount ?? 0) >= services;
    },
    300_000,
  );
  // They may stand from the run before.
  await until(
    "all services are read",
    async () => {
      const metrics = await fetch(`http://127.0.0.1:${ports.http}/metrics`);
      return (await metrics.text()).includes(`x2istio_registry_services_count{registry="${REGISTRY}"} ${services}\n`);
    },
    300_000,
  );
  say(`all ${services} entries stood after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
  const { wallMs, cpuMs: computed } = replica.longestStall();
  say(`longest stall until then ${wallMs.toFixed(0)} ms, of which ${computed.toFixed(0)} ms computing`);
  await delay(services > 1000 ? 20_000 : 5_000);
  return replica;
}

interface Job {
  readonly bench: Bench;
  readonly replica: BenchReplica;
  readonly watch: EntryWatch;
  readonly services: number;
  readonly title: string;
}

async function measure({ bench, replica, watch, services, title }: Job): Promise<Figures> {
  const { kube, consul } = bench;
  const pids = { replica: replica.pid, registry: consul.pid() };
  const taken: Sample[] = [];
  const patchMs: number[] = [];
  replica.longestStall();
  const idle = await usage(pids, () => delay(IDLE_MS));
  const calm = await usage(pids, async () => {
    const others = startOthers(consul);
    await delay(IDLE_MS);
    await others.stop();
  });
  await kube.request("POST", PATCHED, patched());
  const before = await kube.writeCount();
  let others = 0;
  const busy = await usage(pids, async () => {
    const changing = startOthers(consul);
    for (let at = 0; at < samples; at++) {
      const kind = KINDS[at % KINDS.length] ?? "weight";
      const index = randomInt(OTHERS, services);
      taken.push(await oneChange(bench, watch, { index, kind }));
      await delay(randomInt(20, 120));
      const started = performance.now();
      await kube.request("PATCH", `${PATCHED}/bench`, { metadata: { annotations: { at: String(at) } } });
      patchMs.push(performance.now() - started);
    }
    others = await changing.stop();
  });
  const writes = addedWrites(before, await kube.writeCount());
  const memory = await memoryMiB(replica.pid);
  await delay(1100);
  return { title, samples: taken, patchMs, writes, idle, calm, busy, others, stall: replica.longestStall(), memory };
}

/** Change a service that is not measured each second, one after the other. `stop` says how many. */
function startOthers(consul: Consul): { stop(): Promise<number> } {
  const end = new AbortController();
  let count = 0;
  const run = async () => {
    while (!end.signal.aborted) {
      const kind = KINDS[count % KINDS.length] ?? "weight";
      await changeOne(consul, { index: count++ % OTHERS, kind });
      await delay(OTHERS_MS, undefined, { signal: end.signal }).catch(() => {});
    }
    return count;
  };
  const running = run();
  return {
    stop() {
      end.abort();
      return running;
    },
  };
}

/** An entry like those that are measured, for plain PATCHes. */
function patched(): object {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: "bench" },
    spec: {
      hosts: ["bench.example.org"],
      resolution: "STATIC",
      ports: [{ name: "http", number: 80, protocol: "HTTP" }],
      endpoints: placesOf(0, ENDPOINTS).map(({ address }) => ({ address, weight: 100 })),
    },
  };
}

async function oneChange({ consul }: Bench, watch: EntryWatch, what: { index: number; kind: Kind }): Promise<Sample> {
  const [{ service } = { service: "" }] = placesOf(what.index, 1);
  const stored = watch.next(`${service}.default.${REGISTRY}.mesh.internal`, 60_000);
  const sent = performance.now();
  await changeOne(consul, what);
  const answered = performance.now();
  const seen = await stored;
  return { kind: what.kind, sentMs: seen - sent, answeredMs: seen - answered };
}

/** Change an instance of a service, or take the last such change of it back. */
async function changeOne(consul: Consul, { index, kind }: { index: number; kind: Kind }): Promise<void> {
  // Each kind has instances of its own: what changes at one that is critical cannot be seen.
  const [place] = placesOf(index, ENDPOINTS).slice(KINDS.indexOf(kind) * 3 + randomInt(3));
  if (place === undefined) throw new Error("a service of the benchmark has endpoints");
  const isUndone = done.delete(`${place.id} ${kind}`);
  if (!isUndone) done.add(`${place.id} ${kind}`);
  await change(consul, place, kind, isUndone);
}

async function usage(pids: { replica: number; registry: number }, work: () => Promise<unknown>): Promise<Usage> {
  const started = performance.now();
  const [replica, registry] = [await cpuMs(pids.replica), await cpuMs(pids.registry)];
  await work();
  return {
    ms: performance.now() - started,
    replica: (await cpuMs(pids.replica)) - replica,
    registry: (await cpuMs(pids.registry)) - registry,
  };
}

function report(figures: Figures): string {
  const { title, samples: taken, patchMs, writes, idle, calm, busy, others, stall, memory } = figures;
  const percent = (ms: number, { ms: all }: Usage) => `${((ms / all) * 100).toFixed(1)} %`;
  const entryWrites = Object.entries(writes).filter(([key]) => key.includes("serviceentries"));
  const ours = entryWrites.reduce((sum, [, count]) => sum + count, 0) - patchMs.length;
  const changes = taken.length + others;
  const perChange = (busy.replica - (idle.replica / idle.ms) * busy.ms) / changes;
  const p50 = (values: readonly number[]) => median(values);
  return [
    `\n${title}\n`,
    figuresLine(
      "change sent to Consul → entry stored, ms",
      taken.map(({ sentMs }) => sentMs),
    ),
    figuresLine(
      "change answered by Consul → entry stored, ms",
      taken.map(({ answeredMs }) => answeredMs),
    ),
    ...KINDS.map((kind) =>
      figuresLine(
        `  ${kind}`,
        taken.filter((one) => one.kind === kind).map(({ answeredMs }) => answeredMs),
      ),
    ),
    figuresLine("PATCH round trip, ms", patchMs),
    `sent → stored ÷ PATCH, medians: ${(p50(taken.map(({ sentMs }) => sentMs)) / p50(patchMs)).toFixed(2)}\n`,
    `writes of entries ${ours} for ${changes} changes, ${others} of them of other services\n`,
    `CPU of x2istio ${percent(idle.replica, idle)} idle, ${percent(calm.replica, calm)} at one change a second, `,
    `${percent(busy.replica, busy)} busy, ${perChange.toFixed(1)} ms a change; of Consul ${percent(idle.registry, idle)}, `,
    `${percent(calm.registry, calm)}, ${percent(busy.registry, busy)} (of one core)\n`,
    `longest stall ${stall.wallMs.toFixed(0)} ms, of which ${stall.cpuMs.toFixed(0)} ms computing; `,
    `RSS ${memory.now.toFixed(0)} MiB, peak ${memory.peak.toFixed(0)} MiB\n`,
  ].join("");
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
