/**
 * How long DNS questions and `/healthz` wait while x2istio decides: during a first sync and during passes over everything, with the
 * DNS server in a thread of its own and in the main thread. Of two checkouts in turn, in one run. Asserts nothing about time.
 *
 * `node test/bench/answers.ts OTHER-CHECKOUT [ROUNDS] [SERVICES]`
 */
import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { query } from "../dns/wire.ts";
import { freePorts } from "../e2e/cli.ts";
import { startChild } from "../servers/child.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { emptyNamespace, fixture, fixtureConfig, fixtureFile, NAMESPACE } from "./fixture.ts";
import { figuresLine } from "./table.ts";

const ENDPOINTS = 10;
/** A static file may have 8 MiB. */
const FILES = 4;
const PASSES_MS = 20_000;
const EVERY_MS = 5;
const GIVE_UP_MS = 5000;

const [other = "", rounds = "2", count = "10000"] = process.argv.slice(2);
const checkouts = { other: resolve(other), this: join(import.meta.dirname, "../..") };
type Checkout = keyof typeof checkouts;

const dir = await mkdtemp(join(tmpdir(), "x2istio-bench-"));
const waits = new Map<string, number[]>();
try {
  await writeServices(Number(count));
  const kube = await startKube({ namespaces: [NAMESPACE] });
  try {
    for (let round = 0; round < Number(rounds); round++)
      for (const workers of [1, 0])
        for (const checkout of ["other", "this"] as const) await measure(kube, checkout, workers);
  } finally {
    await kube.stop();
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
for (const [what, values] of [...waits].sort(([a], [b]) => (a < b ? -1 : 1)))
  process.stdout.write(`${figuresLine(what, values)}\n`);

async function writeServices(services: number): Promise<void> {
  const all = fixture(services, ENDPOINTS);
  for (let file = 0; file < FILES; file++)
    await writeFile(join(dir, `services-${file}.yaml`), fixtureFile(all.filter((_, at) => at % FILES === file)));
}

async function measure(kube: Kube, checkout: Checkout, workers: number): Promise<void> {
  await emptyNamespace(kube);
  const { dns, http } = await freePorts();
  const files = Array.from({ length: FILES }, (_, file) => `services-${file}.yaml`).join(", ");
  const config = `${fixtureConfig().replace("file: services.yaml", `file: [${files}]`)}
policy: {keepEmpty: 1s}
dns: {listen: ["127.0.0.1:${dns}"], workers: ${workers}}
http: {listen: "127.0.0.1:${http}"}
`;
  await writeFile(join(dir, "x2istio.yaml"), config);
  const main = join(checkouts[checkout], "src/main.ts");
  const child = await startChild(
    "env",
    [`KUBECONFIG=${kube.kubeconfigPath}`, process.execPath, main, "run", "--config", join(dir, "x2istio.yaml")],
    join(dir, "log"),
  );
  try {
    const url = `http://127.0.0.1:${http}`;
    await until("the first entry stands", () => isWriting(kube), 300_000);
    const first = ask(dns, url);
    await until("it is ready", async () => (await fetch(`${url}/readyz`)).ok, 600_000);
    add(`first sync, workers ${workers}`, checkout, await first.stop());
    const passes = ask(dns, url);
    await delay(PASSES_MS);
    add(`passes over everything, workers ${workers}`, checkout, await passes.stop());
  } finally {
    await child.stop();
  }
}

/** Reading the file keeps the main thread busy before: that is no part of a sync. */
async function isWriting(kube: Kube): Promise<boolean> {
  const path = `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}/serviceentries?limit=1`;
  const { body } = await kube.request<{ readonly items: readonly unknown[] }>("GET", path);
  return body.items.length > 0;
}

function add(what: string, checkout: Checkout, { dnsMs, healthMs }: Waits): void {
  for (const [kind, values] of [
    ["DNS", dnsMs],
    ["healthz", healthMs],
  ] as const) {
    const key = `${what}: ${kind}, ${checkout}`;
    waits.set(key, [...(waits.get(key) ?? []), ...values]);
    process.stderr.write(`${figuresLine(key, values)}\n`);
  }
}

interface Waits {
  readonly dnsMs: readonly number[];
  readonly healthMs: readonly number[];
}

/** Ask both, each again and again at a steady rate; what is not answered counts as five seconds. */
function ask(dnsPort: number, url: string): { stop(): Promise<Waits> } {
  const dnsMs: number[] = [];
  const healthMs: number[] = [];
  const sent = new Map<number, number>();
  const socket = createSocket("udp4");
  let id = 0;
  socket.on("message", (answer) => {
    const at = sent.get(answer.readUInt16BE(0));
    if (at !== undefined) dnsMs.push(performance.now() - at);
    sent.delete(answer.readUInt16BE(0));
  });
  const questions = setInterval(() => {
    id = (id + 1) % 65536;
    sent.set(id, performance.now());
    socket.send(
      query(`orders-${String((id * 7919) % Number(count)).padStart(5, "0")}.shop.vms.mesh.internal`, { id }),
      dnsPort,
      "127.0.0.1",
    );
  }, EVERY_MS);
  const checks = setInterval(async () => {
    const at = performance.now();
    const isOk = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(GIVE_UP_MS) }).then(
      async (response) => (await response.text()) !== "",
      () => false,
    );
    healthMs.push(isOk ? performance.now() - at : GIVE_UP_MS);
  }, EVERY_MS * 4);
  return {
    async stop() {
      clearInterval(questions);
      clearInterval(checks);
      await delay(200);
      socket.close();
      const late = [...sent.values()].map(() => GIVE_UP_MS);
      return { dnsMs: [...dnsMs, ...late], healthMs };
    },
  };
}
