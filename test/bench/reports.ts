// Reports for many services: until each stands, then from memory, then a storm for services that there are not. See README.md.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Pool } from "undici";
import { stringify } from "yaml";
import { freePorts } from "../e2e/cli.ts";
import { startChild } from "../servers/child.ts";

const SERVICES = Number(process.argv[2] ?? 10_000);
const BATCH = 500;
const CONNECTIONS = 32;
const SECONDS = 15;
const PACED_PER_SECOND = 1000;

const place = await mkdtemp(join(tmpdir(), "x2istio-reports-"));
const ports = await freePorts();
const services = Array.from({ length: SERVICES }, (_, n) => ({
  namespace: "shop",
  name: `service-${n}`,
  ports: [{ name: "http", number: 8080, protocol: "http" }],
  endpoints: Array.from({ length: 3 }, (__, at) => ({ address: `198.51.${n % 100}.${1 + at}` })),
}));
await writeFile(join(place, "services.yaml"), JSON.stringify({ services }));
await writeFile(join(place, "token"), "bench\n");
await writeFile(
  join(place, "x2istio.yaml"),
  stringify({
    registries: [
      {
        ...{ kind: "static", name: "vms", file: "services.yaml" },
        ...{ demand: "reported", legacyNames: ["{service}.old.example.org"] },
      },
    ],
    target: { kind: "directory", path: "out" },
    dns: { listen: [`127.0.0.1:${ports.dns}`], workers: 1, zones: ["mesh.internal", "old.example.org"] },
    http: { listen: `127.0.0.1:${ports.http}`, reports: { tokenFile: "token", wait: "8s", perSecond: 1_000_000 } },
  }),
);

const main = join(import.meta.dirname, "../../src/main.ts");
const logFile = join(place, "log");
const child = await startChild(process.execPath, [main, "run", "--config", join(place, "x2istio.yaml")], logFile);
const pool = new Pool(`http://127.0.0.1:${ports.http}`, { connections: CONNECTIONS, pipelining: 1 });
try {
  await untilReady();
  say("rss, nothing asked for, MiB", await rssMiB());
  await firstReports();
  say("rss, all stand, MiB", await rssMiB());
  await delay(5000);
  report("from memory, as many as go", await load(nameOfAny, SECONDS));
  report(`from memory, ${PACED_PER_SECOND} a second`, await load(nameOfAny, SECONDS, PACED_PER_SECOND));
  await storm();
} finally {
  await pool.close();
  await child.stop();
  await rm(place, { recursive: true, force: true });
}

async function untilReady(): Promise<void> {
  for (let n = 0; n < 600; n++) {
    const answer = await pool.request({ method: "GET", path: "/readyz" }).catch(() => undefined);
    await answer?.body.dump();
    if (answer?.statusCode === 200) return;
    await delay(200);
  }
  throw new Error("x2istio does not become ready");
}

async function post(body: unknown): Promise<{ readonly status: number; readonly text: string }> {
  const send = () =>
    pool.request({
      method: "POST",
      path: "/api/reports",
      headers: { "content-type": "application/json", authorization: "Bearer bench" },
      body: JSON.stringify(body),
    });
  // The server may end a connection that lay idle just when it is used again.
  const answer = await send().catch(send);
  return { status: answer.statusCode, text: await answer.body.text() };
}

/** Batches one after the other, each until all in it can be called. */
async function firstReports(): Promise<void> {
  const startedMs = performance.now();
  let asked = 0;
  for (let from = 0; from < SERVICES; from += BATCH) {
    const reports = Array.from({ length: BATCH }, (_, at) => nameOf(from + at));
    for (let isDone = false; !isDone; asked++) {
      const { results } = JSON.parse((await post({ reports, caller: "bench" })).text) as {
        readonly results: readonly { readonly state: string }[];
      };
      isDone = results.every(({ state }) => state === "ready");
    }
  }
  const seconds = (performance.now() - startedMs) / 1000;
  say(`first reports, in batches of ${BATCH}, services/s`, SERVICES / seconds);
  say("batches that had to be sent again", asked - SERVICES / BATCH);
}

interface Loaded {
  readonly perSecond: number;
  readonly latenciesMs: readonly number[];
  readonly statuses: ReadonlyMap<number, number>;
  /** Of the whole server, its other work included. */
  readonly cpuMs: number;
}

/** Reports from all connections; paced, each is due at its time, and waiting for a connection counts. */
async function load(next: () => object, seconds: number, perSecond?: number): Promise<Loaded> {
  const latenciesMs: number[] = [];
  const statuses = new Map<number, number>();
  const cpuBeforeMs = await cpuMs();
  const startedMs = performance.now();
  const endMs = startedMs + seconds * 1000;
  let sent = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (;;) {
        const dueMs = perSecond === undefined ? performance.now() : startedMs + (sent++ * 1000) / perSecond;
        if (dueMs >= endMs) return;
        await delay(Math.max(0, dueMs - performance.now()));
        const { status } = await post(next());
        latenciesMs.push(performance.now() - dueMs);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    }),
  );
  const tookSeconds = (performance.now() - startedMs) / 1000;
  return {
    perSecond: latenciesMs.length / tookSeconds,
    latenciesMs: latenciesMs.sort((a, b) => a - b),
    statuses,
    cpuMs: (await cpuMs()) - cpuBeforeMs,
  };
}

async function storm(): Promise<void> {
  const before = await rssMiB();
  const files = (await readdir(join(place, "out/mesh-services"))).length;
  let n = 0;
  const loaded = await load(() => ({ name: `nobody-${n++}.old.example.org`, caller: `stranger-${n % 5000}` }), SECONDS);
  report("a storm of unknown names", loaded);
  say("rss before, MiB", before);
  say("rss after, MiB", await rssMiB());
  say("files written by it", (await readdir(join(place, "out/mesh-services"))).length - files);
}

function nameOf(n: number): object {
  return { registry: "vms", namespace: "shop", service: `service-${n % SERVICES}` };
}

function nameOfAny(): object {
  const n = Math.floor(Math.random() * SERVICES);
  return n % 2 === 0 ? nameOf(n) : { name: `service-${n}.old.example.org`, caller: `web-${n % 100}` };
}

function report(what: string, { perSecond, latenciesMs, statuses, cpuMs: used }: Loaded): void {
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN;
  say(`${what}: reports/s`, perSecond);
  for (const [name, share] of [
    ["median", 0.5],
    ["p99", 0.99],
    ["p99.9", 0.999],
  ] as const)
    say(`${what}: ${name}, ms`, at(share));
  say(`${what}: CPU of the server for 1,000 reports, ms`, (used / latenciesMs.length) * 1000);
  say(`${what}: answers by status`, [...statuses].map(([status, count]) => `${status} × ${count}`).join(", "));
}

/** Of all threads so far; the kernel counts in hundredths of a second. */
async function cpuMs(): Promise<number> {
  const [, fields = ""] = /\) (.*)$/s.exec(await readFile(`/proc/${child.pid}/stat`, "utf8")) ?? [];
  const [user = 0, system = 0] = fields.split(" ").slice(11, 13).map(Number);
  return (user + system) * 10;
}

async function rssMiB(): Promise<number> {
  const [, kib] = /^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${child.pid}/status`, "utf8")) ?? [];
  return Number(kib) / 1024;
}

function say(what: string, value: number | string): void {
  const text = typeof value === "string" ? value : value >= 100 ? value.toFixed(0) : value.toFixed(2);
  process.stdout.write(`| ${what} | ${text} |\n`);
}
