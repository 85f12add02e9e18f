/**
 * Whether memory stays flat: `x2istio run`, as the image starts it, over HTTPS on a Consul whose services churn, into a real
 * kube-apiserver, while its DNS server and its HTTP server are asked. See README.md. Asserts nothing about time.
 *
 * `node test/bench/soak.ts [MINUTES [SERVICES [CHANGES_PER_SECOND]]]`
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { query } from "../dns/wire.ts";
import { freePorts, type Ports } from "../e2e/cli.ts";
import { type Consul, startConsul } from "../servers/consul.ts";
import { startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { change, fillConsul, KINDS, type Kind, type Place, placesOf, removeFromConsul } from "./consul-fixture.ts";
import { NAMESPACE, standingEntries } from "./fixture.ts";
import { type BenchReplica, buildReplica, cpuMs, memoryMiB, type Stall, startBenchReplica } from "./replica.ts";
import { figuresLine } from "./table.ts";

const ENDPOINTS = 5;
/** Every so many changes a whole service goes, or one comes back when so many are gone. */
const REMOVAL_EVERY = 10;
const MOST_REMOVED = 100;
const MOST_CHANGED = 500;
const SAMPLE_MS = 5000;
/** Of the time, what is left out of the slope: caches fill, the code is compiled, the heap finds its size. */
const WARM_UP = 1 / 3;

interface Sample {
  readonly atMs: number;
  readonly rssMiB: number;
  readonly heapMiB: number;
  readonly handles: number;
}

/** What was done to the process. */
interface Load {
  changes: number;
  removals: number;
  failures: number;
  questions: number;
  answers: number;
}

const [minutes = 30, services = 2000, perSecond = 5] = process.argv.slice(2).map(Number);
const dir = await mkdtemp(join(tmpdir(), "x2istio-bench-"));
try {
  await buildReplica();
  const kube = await startKube({ namespaces: [NAMESPACE] });
  const consul = await startConsul({ tls: "server" });
  try {
    say(`filling Consul with ${services} × ${ENDPOINTS}`);
    await fillConsul(consul, services, ENDPOINTS);
    const ports = await freePorts();
    const replica = startBenchReplica(await writeConfig(consul, ports), kube.kubeconfigPath);
    try {
      await until("all entries stand", async () => (await standingEntries(kube)).length >= services, 300_000);
      process.stdout.write(await soak(replica, consul, ports));
    } catch (error) {
      say(replica.output().split("\n").slice(-5).join("\n"));
      throw error;
    } finally {
      await replica.stop();
    }
  } finally {
    await consul.stop();
    await kube.stop();
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}

async function writeConfig(consul: Consul, ports: Ports): Promise<string> {
  const config = join(dir, "x2istio.yaml");
  // What goes is deleted a minute later, so that whole lives pass by: entry, tombstone, rest of the VIP.
  await writeFile(
    config,
    `owner: bench
registries:
  - {kind: consul, name: dc1, address: "${consul.httpsAddress}", tls: {ca: ${consul.tls?.ca}}, legacyNames: ["{service}.corp.example.com"]}
aliases:
  - {registry: dc1, as: "{service}"}
vips: {quarantine: 1m}
policy: {keepEmpty: 1m}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
dns: {listen: ["127.0.0.1:${ports.dns}"], ttl: 30s}
http: {listen: "127.0.0.1:${ports.http}"}
`,
  );
  return config;
}

async function soak(replica: BenchReplica, consul: Consul, ports: Ports): Promise<string> {
  const load: Load = { changes: 0, removals: 0, failures: 0, questions: 0, answers: 0 };
  const stop = new AbortController();
  const running = [churn(consul, load, stop.signal), askNames(ports.dns, load, stop.signal)];
  const samples: Sample[] = [];
  const stalls: Stall[] = [replica.longestStall()];
  const startedMs = performance.now();
  const cpuBefore = await cpuMs(replica.pid);
  const wholeMs = minutes * 60_000;
  try {
    while (performance.now() - startedMs < wholeMs) {
      await delay(SAMPLE_MS);
      const sample = await look(replica, ports, startedMs);
      samples.push(sample);
      stalls.push(replica.longestStall());
      if (samples.length % (60_000 / SAMPLE_MS) === 0) say(lineOf(sample, load));
    }
  } finally {
    stop.abort();
    await Promise.all(running);
  }
  const share = ((await cpuMs(replica.pid)) - cpuBefore) / wholeMs;
  return report({ samples, stalls, load, share });
}

async function look({ pid }: BenchReplica, { http }: Ports, startedMs: number): Promise<Sample> {
  const metrics = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  const of = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1]);
  return {
    atMs: performance.now() - startedMs,
    rssMiB: (await memoryMiB(pid)).now,
    heapMiB: of("nodejs_heap_size_used_bytes") / 2 ** 20,
    handles: of("nodejs_active_resources_total"),
  };
}

/**
 * Change something so often a second, until told to stop. Soon so much is changed that every further change takes the oldest
 * back: the fixture stays as large as it is.
 */
async function churn(consul: Consul, load: Load, signal: AbortSignal): Promise<void> {
  const changed = new Map<string, readonly [number, Place, Kind]>();
  const removed: number[] = [];
  const startedMs = performance.now();
  while (!signal.aborted) {
    const lateMs = performance.now() - startedMs - (load.changes * 1000) / perSecond;
    if (lateMs < 0) await delay(-lateMs, undefined, { signal }).catch(() => undefined);
    try {
      await (load.changes++ % REMOVAL_EVERY === 0 ? changeService() : changeInstance());
    } catch {
      load.failures++;
    }
  }

  async function changeService(): Promise<void> {
    const back = removed.length >= MOST_REMOVED ? removed.shift() : undefined;
    if (back !== undefined) return fillConsul(consul, back + 1, ENDPOINTS, back);
    const index = randomInt(services);
    if (removed.includes(index)) return;
    load.removals++;
    removed.push(index);
    for (const [key, [of]] of changed) if (of === index) changed.delete(key);
    await removeFromConsul(consul, placesOf(index, ENDPOINTS));
  }

  async function changeInstance(): Promise<void> {
    const [oldest] = changed.size >= MOST_CHANGED ? changed : [];
    if (oldest !== undefined) {
      const [key, [, place, kind]] = oldest;
      changed.delete(key);
      return change(consul, place, kind, true);
    }
    const index = randomInt(services);
    const place = placesOf(index, ENDPOINTS)[randomInt(ENDPOINTS)];
    const kind = KINDS[randomInt(KINDS.length)] ?? "weight";
    const key = `${kind} ${place?.id}`;
    if (place === undefined || removed.includes(index) || changed.has(key)) return;
    changed.set(key, [index, place, kind]);
    await change(consul, place, kind, false);
  }
}

/** Ten questions a second, of names that stand and of names that do not. */
async function askNames(port: number, load: Load, signal: AbortSignal): Promise<void> {
  const socket = createSocket("udp4");
  socket.on("message", () => load.answers++).on("error", () => undefined);
  while (!signal.aborted) {
    const name = `orders-${String(randomInt(services + 100)).padStart(5, "0")}.default.dc1.mesh.internal`;
    socket.send(query(name, { id: load.questions++ % 65_536 }), port, "127.0.0.1");
    await delay(100, undefined, { signal }).catch(() => undefined);
  }
  await delay(500);
  socket.close();
}

interface Figures {
  readonly samples: readonly Sample[];
  readonly stalls: readonly Stall[];
  readonly load: Load;
  readonly share: number;
}

function report({ samples, stalls, load, share }: Figures): string {
  const fromMs = (samples.at(-1)?.atMs ?? 0) * WARM_UP;
  const late = samples.filter(({ atMs }) => atMs > fromMs);
  const slope = (what: string, of: (sample: Sample) => number) => {
    const { perHour, error } = slopeOf(
      late
        .map((sample) => ({ hours: sample.atMs / 3_600_000, value: of(sample) }))
        .filter(({ value }) => !Number.isNaN(value)), // a scrape that was refused
    );
    return `${what} ${perHour.toFixed(2)} ± ${error.toFixed(2)} MiB/h`;
  };
  const [first, last] = [late[0], late.at(-1)];
  const lateStalls = stalls.slice(stalls.length - late.length);
  return [
    `\n${services} services × ${ENDPOINTS}, ${minutes} minutes, ${load.changes} changes (${load.removals} of whole services), `,
    `${load.failures} that Consul did not take, ${load.answers} of ${load.questions} DNS questions answered, `,
    `${(share * 100).toFixed(1)} % of a core\n`,
    `${slope("RSS", (sample) => sample.rssMiB)}, ${slope("heap", (sample) => sample.heapMiB)}, by least squares over the last ${late.length} samples\n`,
    `RSS ${first?.rssMiB.toFixed(0)} → ${last?.rssMiB.toFixed(0)} MiB, active resources ${first?.handles} → ${last?.handles}\n`,
    figuresLine(
      "longest stall of each 5 s, ms",
      lateStalls.map(({ wallMs }) => wallMs),
    ),
    figuresLine(
      "of it computing, ms",
      lateStalls.map(({ cpuMs: computed }) => computed),
    ),
  ].join("");
}

/** Least squares; `error` is the standard error as if samples were independent, which those of a heap are not quite. */
function slopeOf(points: readonly { readonly hours: number; readonly value: number }[]) {
  const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = { hours: meanOf(points.map(({ hours }) => hours)), value: meanOf(points.map(({ value }) => value)) };
  const spread = points.reduce((sum, { hours }) => sum + (hours - middle.hours) ** 2, 0);
  const perHour =
    points.reduce((sum, { hours, value }) => sum + (hours - middle.hours) * (value - middle.value), 0) / spread;
  const rest = points.reduce(
    (sum, { hours, value }) => sum + (value - middle.value - perHour * (hours - middle.hours)) ** 2,
    0,
  );
  return { perHour, error: Math.sqrt(rest / (points.length - 2) / spread) };
}

function lineOf({ atMs, rssMiB, heapMiB, handles }: Sample, { changes, failures }: Load): string {
  return `${(atMs / 60_000).toFixed(0)} min: RSS ${rssMiB.toFixed(0)} MiB, heap ${heapMiB.toFixed(0)} MiB, ${handles} resources, ${changes} changes, ${failures} failed`;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
