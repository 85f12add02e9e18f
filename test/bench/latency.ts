/**
 * How long a change takes from a registry to the stored ServiceEntry, beside a PATCH of the same API server in the same run,
 * and what it costs. See README.md. Asserts nothing about time.
 *
 * `node test/bench/latency.ts [SAMPLES] [SERVICES,…]`
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
import { figuresLine } from "./table.ts";
import { type EntryWatch, watchEntries } from "./watch-entries.ts";

const ENDPOINTS = 10;
const IDLE_MS = 20_000;
const REGISTRY = "dc1";
/** Services that change before they are measured as such. */
const WARM = 20;
/** Where the benchmark's own entry stands that it patches. */
const PATCHED = "/apis/networking.istio.io/v1/namespaces/default/serviceentries";
const wordsOf = { any: "", warm: "services that changed before", cold: "services that did not change before" };

interface Bench {
  readonly dir: string;
  readonly kube: Kube;
  readonly consul: Consul;
}

/** Which services change: any, such as changed before, or such as have not. */
type Choice = "any" | "warm" | "cold";

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
  readonly busy: Usage;
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
      for (const address of [consul.httpsAddress, consul.address]) await measureAll(bench, services, address);
    }
    say("measuring Polaris");
    for (const services of sizes.slice(0, 1)) process.stdout.write(await polarisReport(kube, dir, services, samples));
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
    const choices: readonly Choice[] = isTls ? ["any"] : ["warm", "cold"];
    for (const choice of choices) {
      const title = `${services} × ${ENDPOINTS}, ${isTls ? "HTTPS" : `plain HTTP, ${wordsOf[choice]}`}`;
      say(`measuring ${title}`);
      process.stdout.write(report(await measure({ bench, replica, watch, services, choice, title })));
    }
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
  readonly choice: Choice;
  readonly title: string;
}

async function measure({ bench, replica, watch, services, choice, title }: Job): Promise<Figures> {
  const { kube, consul } = bench;
  const pids = { replica: replica.pid, registry: consul.pid() };
  const pick = pickerOf(services, choice);
  const taken: Sample[] = [];
  const patchMs: number[] = [];
  if (choice === "warm")
    for (let index = 0; index < WARM; index++) await oneChange(bench, watch, { index, kind: "weight" });
  replica.longestStall();
  const idle = await usage(pids, () => delay(IDLE_MS));
  await kube.request("POST", PATCHED, patched());
  const before = await kube.writeCount();
  const busy = await usage(pids, async () => {
    for (let at = 0; at < samples; at++) {
      const kind = KINDS[at % KINDS.length] ?? "weight";
      const index = pick(at);
      taken.push(await oneChange(bench, watch, { index, kind }));
      await delay(randomInt(20, 120));
      const started = performance.now();
      await kube.request("PATCH", `${PATCHED}/bench`, { metadata: { annotations: { at: String(at) } } });
      patchMs.push(performance.now() - started);
    }
  });
  const writes = addedWrites(before, await kube.writeCount());
  const memory = await memoryMiB(replica.pid);
  await delay(1100);
  return { title, samples: taken, patchMs, writes, idle, busy, stall: replica.longestStall(), memory };
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

/** Cold services are counted from the end, each once: the next transport's run, and the warm ones, leave them alone. */
function pickerOf(services: number, choice: Choice): (at: number) => number {
  if (choice === "any") return () => randomInt(WARM, services);
  if (choice === "warm") return (at) => at % WARM;
  return (at) => services - 1 - at;
}

async function oneChange(
  { consul }: Bench,
  watch: EntryWatch,
  { index, kind }: { index: number; kind: Kind },
): Promise<Sample> {
  // Each kind has instances of its own: what changes at one that is critical cannot be seen.
  const [place] = placesOf(index, ENDPOINTS).slice(KINDS.indexOf(kind) * 3 + randomInt(3));
  if (place === undefined) throw new Error("a service of the benchmark has endpoints");
  const isUndone = done.delete(`${place.id} ${kind}`);
  if (!isUndone) done.add(`${place.id} ${kind}`);
  const entry = `${place.service}.default.${REGISTRY}.mesh.internal`;
  const stored = watch.next(entry, 60_000);
  const sent = performance.now();
  await change(consul, place, kind, isUndone);
  const answered = performance.now();
  const seen = await stored;
  return { kind, sentMs: seen - sent, answeredMs: seen - answered };
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

function report({ title, samples: taken, patchMs, writes, idle, busy, stall, memory }: Figures): string {
  const percent = (ms: number, { ms: all }: Usage) => `${((ms / all) * 100).toFixed(1)} %`;
  const entryWrites = Object.entries(writes).filter(([key]) => key.includes("serviceentries"));
  const ours = entryWrites.reduce((sum, [, count]) => sum + count, 0) - patchMs.length;
  const perChange = (busy.replica - (idle.replica / idle.ms) * busy.ms) / taken.length;
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
    `writes of entries ${ours} for ${taken.length} changes\n`,
    `CPU of x2istio ${percent(idle.replica, idle)} idle, ${percent(busy.replica, busy)} busy, ${perChange.toFixed(1)} ms a change; `,
    `of Consul ${percent(idle.registry, idle)} idle, ${percent(busy.registry, busy)} busy (of one core)\n`,
    `longest stall ${stall.wallMs.toFixed(0)} ms, of which ${stall.cpuMs.toFixed(0)} ms computing; `,
    `RSS ${memory.now.toFixed(0)} MiB, peak ${memory.peak.toFixed(0)} MiB\n`,
  ].join("");
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
