import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePorts } from "../e2e/cli.ts";
import { type Consul, startConsul } from "../servers/consul.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Ended, runScript } from "./child.ts";
import { fillConsul } from "./consul-fixture.ts";
import { emptyNamespace, NAMESPACE, standingEntries } from "./fixture.ts";
import { fillForeign } from "./foreign.ts";
import type { ReadFigures } from "./read.ts";
import { buildReplica, cpuMs, memoryMiB, type Stall, startBenchReplica } from "./replica.ts";
import { median, table } from "./table.ts";
import { type Window, windowOf } from "./window.ts";

const ENDPOINTS = 10;
const SETTLE_MS = 30_000;
const here = import.meta.dirname;

interface Bench {
  readonly dir: string;
  readonly consul: Consul;
  readonly kube: Kube;
  readonly services: number;
}

interface Sync {
  readonly ended: Ended;
  readonly window: Window;
}

/** A running controller after its first sync. */
interface Running {
  readonly stall: Stall;
  readonly laterStall: Stall;
  readonly memory: { readonly now: number; readonly peak: number };
  /** Share of a core that it needs while nothing changes, polls and ticks included. */
  readonly idleShare: number;
}

/** Services of the fixtures that are measured. */
const SIZES = [500, 10_000];
/** Rounds scatter less than those from a file: most of the time goes to the API server. */
const MOST_ROUNDS = 5;

/**
 * First sync from a real Consul into a real kube-apiserver, against a bare loop of the same requests; what its reads cost; what
 * a running controller needs, also in a cluster full of other people's objects.
 *
 * @param rounds of the first sync, 5 at most; the largest fixture has one
 */
export async function consulReport(
  dir: string,
  rounds: number,
  say: (text: string) => void,
  sizes = SIZES,
): Promise<string> {
  await buildReplica();
  const parts: string[] = [];
  const consul = await startConsul();
  try {
    let filled = 0;
    for (const services of sizes) {
      say(`filling Consul with ${services} × ${ENDPOINTS}`);
      await fillConsul(consul, services, ENDPOINTS, filled);
      filled = services;
      // A server of its own for each size: a database that has seen more is slower.
      const kube = await startKube({ audit: true, namespaces: [NAMESPACE] });
      try {
        parts.push(
          await measure({ dir, consul, kube, services }, services < 10_000 ? Math.min(rounds, MOST_ROUNDS) : 1, say),
        );
      } finally {
        await kube.stop();
      }
    }
  } finally {
    await consul.stop();
  }
  return parts.join("");
}

async function measure(bench: Bench, rounds: number, say: (text: string) => void): Promise<string> {
  const { services, kube } = bench;
  const config = await writeConfig(bench);
  const syncs: { ours: Sync; bare: Sync }[] = [];
  for (let round = 1; round <= rounds; round++) {
    say(`${services} services, first sync, round ${round} of ${rounds}`);
    const ours = await sync(bench, "main", ["--config", config, "apply"]);
    await writeFile(join(bench.dir, "objects.json"), JSON.stringify(await standingEntries(kube)));
    await emptyNamespace(kube);
    const bare = await sync(bench, "bare", [kube.kubeconfigPath, join(bench.dir, "objects.json")]);
    await emptyNamespace(kube);
    syncs.push({ ours, bare });
  }
  say("reading Consul without a change");
  const reads = await readFigures(config);
  say("running");
  const first = await run(bench, config);
  const full = services < 10_000 ? undefined : await runAmongOthers(bench, config, say);
  return report({ services, syncs, reads, first, full });
}

async function writeConfig({ dir, consul }: Bench): Promise<string> {
  const ports = await freePorts();
  const config = join(dir, "consul.yaml");
  await writeFile(
    config,
    `owner: bench
registries:
  - {kind: consul, name: dc1, address: "${consul.address}"}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
dns: {listen: ["127.0.0.1:${ports.dns}"]}
http: {listen: "127.0.0.1:${ports.http}"}
`,
  );
  return config;
}

async function sync({ kube, services }: Bench, program: "main" | "bare", args: readonly string[]): Promise<Sync> {
  const script = program === "main" ? join(here, "../../src/main.ts") : join(here, "bare-loop.ts");
  const ended = await runScript(script, args, { KUBECONFIG: kube.kubeconfigPath });
  if (ended.code !== (program === "main" ? 2 : 0))
    throw new Error(
      `${program} ended with code ${ended.code}:\n${ended.stdout.slice(-1000)}${ended.stderr.slice(-1000)}`,
    );
  let window = windowOf(await kube.auditEvents(), ended.startedMs, ended.endedMs);
  await until("the audit log has all writes", async () => {
    window = windowOf(await kube.auditEvents(), ended.startedMs, ended.endedMs);
    return window.entries >= services;
  });
  return { ended, window };
}

async function readFigures(config: string): Promise<readonly ReadFigures[]> {
  const { code, stdout, stderr } = await runScript(join(here, "read.ts"), [config]);
  if (code !== 0) throw new Error(`read.ts ended with code ${code}:\n${stderr}`);
  return JSON.parse(stdout) as ReadFigures[];
}

async function run({ kube, services }: Bench, config: string): Promise<Running> {
  const replica = startBenchReplica(config, kube.kubeconfigPath);
  try {
    await until("all entries stand", async () => (await standingEntries(kube)).length >= services, 300_000);
    await delay(SETTLE_MS / 3);
    const stall = replica.longestStall();
    const cpu = await cpuMs(replica.pid);
    await delay(SETTLE_MS);
    const idleShare = ((await cpuMs(replica.pid)) - cpu) / SETTLE_MS;
    return { stall, laterStall: replica.longestStall(), memory: await memoryMiB(replica.pid), idleShare };
  } catch (cause) {
    throw new Error(`x2istio run did not get there:\n${replica.output().slice(-2000)}`, { cause });
  } finally {
    await replica.stop();
  }
}

/** Restarted on what stands, before and after the cluster is filled with what is not ours. */
async function runAmongOthers(bench: Bench, config: string, say: (text: string) => void) {
  say("running again on what stands");
  const alone = await run(bench, config);
  say("filling the cluster with 20,000 Services and 5,000 ServiceEntries of others");
  await fillForeign(bench.kube);
  say("running among them");
  return { alone, among: await run(bench, config) };
}

interface Figures {
  readonly services: number;
  readonly syncs: readonly { readonly ours: Sync; readonly bare: Sync }[];
  readonly reads: readonly ReadFigures[];
  readonly first: Running;
  readonly full: { readonly alone: Running; readonly among: Running } | undefined;
}

function report({ services, syncs, reads, first, full }: Figures): string {
  const [firstRead, ...polls] = reads;
  const running = (what: string, { stall, laterStall, memory, idleShare }: Running) =>
    [
      `${what}: RSS ${memory.now.toFixed(0)} MiB, peak ${memory.peak.toFixed(0)} MiB; ${(idleShare * 100).toFixed(1)} % of a core; `,
      `longest stall until synced ${stallText(stall)}, later ${stallText(laterStall)}\n`,
    ].join("");
  return [
    `\nFrom Consul: ${services} × ${ENDPOINTS}\n\n`,
    table([
      {
        what: "x2istio ÷ bare loop, ServiceEntries/s",
        values: syncs.map(({ ours, bare }) => ours.window.entriesPerSecond / bare.window.entriesPerSecond),
        digits: 2,
      },
      { what: "x2istio, ServiceEntries/s", values: syncs.map(({ ours }) => ours.window.entriesPerSecond) },
      { what: "bare, ServiceEntries/s", values: syncs.map(({ bare }) => bare.window.entriesPerSecond) },
      {
        what: "x2istio apply, process start to exit, s",
        values: syncs.map(({ ours: { ended } }) => (ended.endedMs - ended.startedMs) / 1000),
        digits: 1,
      },
      { what: "x2istio apply, peak RSS, MiB", values: syncs.map(({ ours: { ended } }) => ended.maxRssMiB) },
      { what: "unchanged poll, ms", values: polls.map(({ ms }) => ms) },
      { what: "unchanged poll, CPU, ms", values: polls.map(({ cpuMs: cpu }) => cpu) },
      { what: "unchanged poll, requests to Consul", values: polls.map(({ requests }) => requests) },
    ]),
    `\nFirst read: ${firstRead?.requests} requests, ${firstRead?.ms.toFixed(0)} ms, ${firstRead?.cpuMs.toFixed(0)} ms of CPU\n`,
    running("Running", first),
    ...(full === undefined
      ? []
      : [
          running("Restarted on what stands", full.alone),
          running("Restarted among 25,000 objects of others", full.among),
          `These cost ${(full.among.memory.now - full.alone.memory.now).toFixed(0)} MiB\n`,
        ]),
    `Median of unchanged polls: ${median(polls.map(({ cpuMs: cpu }) => cpu)).toFixed(0)} ms of CPU, ${median(polls.map(({ requests }) => requests))} requests\n`,
  ].join("");
}

function stallText({ wallMs, cpuMs: computed }: Stall): string {
  return `${wallMs.toFixed(0)} ms (${computed.toFixed(0)} ms computing)`;
}
