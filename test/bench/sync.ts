/**
 * How fast the first sync of 500 services with 10 endpoints each is, against bare loops of requests that create the very same
 * objects on the same API server in turn, and what an unchanged pass costs. See README.md. Asserts nothing about time.
 *
 * `node test/bench/sync.ts [ROUNDS]`
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { adapters } from "../../adapters/adapters.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Manifest } from "../../src/model/objects.ts";
import { decider } from "../plan/at-once.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Ended, runScript } from "./child.ts";
import { emptyNamespace, fixture, fixtureConfig, fixtureFile, NAMESPACE, REGISTRY } from "./fixture.ts";
import { memoryCluster } from "./memory-cluster.ts";
import type { PassFigures } from "./pass.ts";
import { passReport, type Run, syncReport, type Writer } from "./report.ts";
import { consulReport } from "./sync-consul.ts";
import { windowOf } from "./window.ts";

const SERVICES = 500;
const ENDPOINTS = 10;
/** The generated client is slow and only told of: it takes part in the first rounds only. */
const GENERATED_ROUNDS = 3;
const here = import.meta.dirname;

interface Bench {
  readonly kube: Kube;
  readonly dir: string;
  readonly objects: number;
}

const rounds = Number(process.argv[2] ?? 15);
const dir = await mkdtemp(join(tmpdir(), "x2istio-bench-"));
try {
  const objects = await prepare();
  say(`starting kube-apiserver; ${objects} objects, ${rounds} rounds and one to warm up`);
  const kube = await startKube({ audit: true, namespaces: [NAMESPACE] });
  try {
    const { runs, again } = await measureSync({ kube, dir, objects });
    process.stdout.write(syncReport(runs, again, SERVICES, objects));
  } finally {
    await kube.stop();
  }
  for (const services of [SERVICES, 10_000])
    process.stdout.write(passReport(services, ENDPOINTS, await measurePass(services)));
  process.stdout.write(await consulReport(dir, rounds, say));
} finally {
  await rm(dir, { recursive: true, force: true });
}

/** Write the files that the runs read; tells how many objects there will be. */
async function prepare(): Promise<number> {
  const services = fixture(SERVICES, ENDPOINTS);
  await writeFile(join(dir, "services.yaml"), fixtureFile(services));
  await writeFile(join(dir, "x2istio.yaml"), fixtureConfig());
  const config = await loadConfig(join(dir, "x2istio.yaml"), { env: {}, adapters });
  const reads = services.map((service) => ({ state: "ok", service }) as const);
  const { plan } = decider(config)({
    readings: new Map([[REGISTRY, { state: "read", snapshot: { registry: REGISTRY, services: reads, revision: "" } }]]),
    standing: memoryCluster(config.owner).state.standing,
    nowMs: Date.now(),
    allowDeletes: new Set(),
  });
  const manifests = plan.create.map(({ object }) => object.manifest);
  // In the order in which x2istio writes them.
  const isEntry = ({ kind }: Manifest) => kind === "ServiceEntry";
  const inOrder = [...manifests.filter(isEntry), ...manifests.filter((manifest) => !isEntry(manifest))];
  await writeFile(join(dir, "objects.json"), JSON.stringify(inOrder));
  return inOrder.length;
}

async function measureSync(bench: Bench): Promise<{ runs: Run[]; again: Run }> {
  const ended: { writer: Writer; round: number; process: Ended }[] = [];
  for (let round = 0; round <= rounds; round++) {
    // Every other round backwards: whatever drifts (a growing database, other load) then favours nobody.
    const writers: Writer[] = ["x2istio", "bare", ...(round > GENERATED_ROUNDS ? [] : ["generated" as const])];
    for (const writer of round % 2 === 0 ? writers : writers.toReversed()) {
      await emptyNamespace(bench.kube);
      const process = await write(writer, bench);
      say(`${round === 0 ? "warm-up" : `round ${round} of ${rounds}`}: ${writer} took ${seconds(process)} s`);
      ended.push({ writer, round, process });
    }
  }
  await emptyNamespace(bench.kube);
  await write("x2istio", bench);
  const again = await write("x2istio", bench, 0);
  const events = await allEvents(bench.kube, (ended.length + 1) * bench.objects);
  const runOf = (writer: Writer, process: Ended): Run => {
    return { writer, process, window: windowOf(events, process.startedMs, process.endedMs) };
  };
  const runs = ended.filter(({ round }) => round > 0).map(({ writer, process }) => runOf(writer, process));
  const short = runs.find(({ window }) => window.objects !== bench.objects);
  if (short !== undefined)
    throw new Error(
      `${short.writer} wrote ${short.window.objects} of ${bench.objects} objects:\n${short.process.stderr}`,
    );
  return { runs, again: runOf("x2istio", again) };
}

async function write(writer: Writer, { kube, dir }: Bench, expected = 2): Promise<Ended> {
  const isOurs = writer === "x2istio";
  const config = join(dir, "x2istio.yaml");
  const ended = isOurs
    ? await runScript(join(here, "../../src/main.ts"), ["--config", config, "apply"], {
        KUBECONFIG: kube.kubeconfigPath,
      })
    : await runScript(join(here, `${writer}-loop.ts`), [kube.kubeconfigPath, join(dir, "objects.json")]);
  if (ended.code !== (isOurs ? expected : 0))
    throw new Error(
      `${writer} ended with code ${ended.code}:\n${ended.stdout.slice(-2000)}${ended.stderr.slice(-2000)}`,
    );
  return ended;
}

/** The last events of the log are written around the time of their answers. */
async function allEvents(kube: Kube, creates: number) {
  let events = await kube.auditEvents();
  const isDone = () =>
    events.filter(({ stage, verb }) => stage === "ResponseComplete" && verb === "create").length >= creates;
  await until("the audit log has all writes", async () => {
    if (!isDone()) events = await kube.auditEvents();
    return isDone();
  });
  return events;
}

async function measurePass(services: number): Promise<PassFigures> {
  say(`unchanged pass at ${services} services`);
  const { code, stdout, stderr } = await runScript(join(here, "pass.ts"), [String(services), String(ENDPOINTS)]);
  if (code !== 0) throw new Error(`pass.ts ended with code ${code}:\n${stderr}`);
  return JSON.parse(stdout) as PassFigures;
}

function seconds({ startedMs, endedMs }: Ended): string {
  return ((endedMs - startedMs) / 1000).toFixed(1);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
