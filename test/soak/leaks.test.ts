import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { adapters } from "../../adapters/adapters.ts";
import type { CliContext } from "../../src/cli/context.ts";
import { runCommand } from "../../src/cli/run.ts";
import { serviceMetrics } from "../../src/cli/serve/metrics.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics, type Metrics } from "../../src/metrics.ts";
import { createSecrets } from "../../src/secrets.ts";
import { fixture, fixtureFile } from "../bench/fixture.ts";
import { query } from "../dns/wire.ts";
import { freePorts, type Ports } from "../e2e/cli.ts";
import { startPolaris } from "../polaris/polaris.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { consulServers, startConsul } from "../servers/consul.ts";
import { until } from "../servers/kube-admin.ts";
import { serveApi } from "./cluster/serve.ts";

const skip = (await ensureServers(consulServers)) === undefined && noServers;

const MESH = "mesh-services";
/** So many that what one run holds weighs several times as much as code and test servers may grow by in one. */
const SERVICES = 600;
/** What is loaded and compiled once is there after these. */
const WARM_UP = 2;
const ROUNDS = 3;
const MOST_GROWTH_MIB = 1;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Where everything is that one run needs. */
interface Place {
  readonly dir: string;
  readonly ports: Ports;
  readonly metrics: Metrics;
  readonly registries: string;
}

for (const target of [`{kind: kubernetes, namespace: ${MESH}}`, "{kind: directory, path: out}"]) {
  test(`run leaves no timer, socket, watch or memory behind when it ends, target ${target}`, {
    skip,
    timeout: 300_000,
  }, async (t) => {
    const [dir, ports, consul, polaris, api] = await Promise.all([
      mkdtemp(join(tmpdir(), "x2istio-leaks-")),
      freePorts(),
      startConsul(),
      startPolaris(),
      serveApi([MESH]),
    ]);
    t.after(() => Promise.all([consul.stop(), polaris.stop(), api.stop(), rm(dir, { recursive: true, force: true })]));
    polaris.register({ namespace: "Production", service: "pay", host: "192.0.2.9", port: 8080 });
    await writeFile(join(dir, "services.yaml"), fixtureFile(fixture(SERVICES, 5)));
    await writeFile(join(dir, "kubeconfig"), kubeconfig(api.address));
    const registries = `
  - {kind: static, name: vms, file: services.yaml}
  - {kind: consul, name: dc1, address: "${consul.address}"}
  - {kind: polaris, name: prod, address: "${polaris.address}", namespaces: [Production]}`;
    const place: Place = { dir, ports, metrics: createMetrics(), registries };

    let heldMiB: number | undefined;
    let baseline = { resources: new Map<string, number>(), heapMiB: 0 };
    for (let round = 1; round <= WARM_UP + ROUNDS; round++) {
      const held = await runOnce(place, target);
      if (round === WARM_UP + ROUNDS) heldMiB = held;
      if (round === WARM_UP) baseline = { resources: await settledResources(), heapMiB: heapMiB() };
    }
    await until("all that is active has ended", async () => excess(baseline.resources).length === 0, 20_000).catch(
      () => undefined,
    );
    assert.deepEqual(excess(baseline.resources), [], "active resources beyond those of the first rounds");
    const endMiB = heapMiB();
    const growth = (endMiB - baseline.heapMiB) / ROUNDS;
    const weight = (heldMiB ?? 0) - endMiB;
    const figures = `${baseline.heapMiB.toFixed(1)} MiB, ${growth.toFixed(2)} MiB more with each run, which holds ${weight.toFixed(1)} MiB`;
    t.diagnostic(`heap ${figures}`);
    assert.ok(weight > 2 * MOST_GROWTH_MIB, `too light to be missed: ${figures}`);
    assert.ok(growth < MOST_GROWTH_MIB, figures);
  });
}

/** Start, be asked over DNS and HTTP, take up another configuration, and stop; gives the heap in MiB just before that. */
async function runOnce({ dir, ports, metrics, registries }: Place, target: string): Promise<number> {
  const stop = new AbortController();
  const configFile = join(dir, "x2istio.yaml");
  const configure = (ttl: string) =>
    writeFile(
      configFile,
      `owner: east\nregistries:${registries}\ntarget: ${target}\ndns: {listen: ["127.0.0.1:${ports.dns}"], ttl: ${ttl}, workers: 2}\nhttp: {listen: "127.0.0.1:${ports.http}"}\n`,
    );
  await configure("30s");
  const ended = runCommand(contextOf(configFile, dir, metrics, stop.signal));
  try {
    await until("it is ready", () => isReady(ports), 60_000);
    await ask(ports);
    const before = await reloads(metrics);
    await configure("20s");
    await until("the other configuration is in use", async () => (await reloads(metrics)) > before, 60_000);
    await until("it is ready again", () => isReady(ports), 60_000);
    await ask(ports);
    return heapMiB();
  } finally {
    stop.abort(new Error("the test ends it"));
    assert.equal(await ended, 0);
  }
}

function contextOf(configFile: string, dir: string, metrics: Metrics, signal: AbortSignal): CliContext {
  const log = createLog({ level: "silent", pretty: false });
  return {
    configFile,
    configContext: { env: {}, adapters },
    kubeconfig: join(dir, "kubeconfig"),
    async createAdapter(registry, { dir: folder }) {
      const kind = adapters[registry.kind];
      assert.ok(kind);
      return kind.create(registry.options, {
        registry: registry.name,
        dir: folder,
        metrics,
        secrets: createSecrets(),
        log,
      });
    },
    log,
    metrics,
    secrets: createSecrets(),
    signal,
    version: "test",
    identity: "one",
    out: { line: () => undefined, progress: () => undefined, style: (_, text) => text },
  };
}

async function isReady({ http }: Ports): Promise<boolean> {
  const { status } = await fetch(`http://127.0.0.1:${http}/readyz`, { headers: { connection: "close" } });
  return status === 200;
}

async function ask({ dns }: Ports): Promise<void> {
  const socket = createSocket("udp4");
  socket.send(query("orders-00001.shop.vms.mesh.internal"), dns, "127.0.0.1");
  const [answer] = (await once(socket, "message")) as [Buffer];
  socket.close();
  assert.equal(answer.readUInt16BE(6), 1, "one address");
}

async function reloads(metrics: Metrics): Promise<number> {
  const { values } = await metrics.once(serviceMetrics).configReloads.get();
  return values.reduce((sum, { value }) => sum + value, 0);
}

function resources(): Map<string, number> {
  return new Map(
    [...Map.groupBy(process.getActiveResourcesInfo(), (name) => name)].map(([name, { length }]) => [name, length]),
  );
}

/** Once nothing has ended for a while. */
async function settledResources(): Promise<Map<string, number>> {
  let seen = JSON.stringify([...resources()]);
  let since = performance.now();
  await until("what is active stays so", async () => {
    const now = JSON.stringify([...resources()]);
    if (now !== seen) [seen, since] = [now, performance.now()];
    return performance.now() - since > 1000;
  });
  return resources();
}

function excess(baseline: ReadonlyMap<string, number>): readonly string[] {
  const more = [...resources()].filter(([name, count]) => count > (baseline.get(name) ?? 0));
  return more.map(([name, count]) => `${count - (baseline.get(name) ?? 0)} ${name}`);
}

function heapMiB(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

function kubeconfig(server: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
    clusters: [{ name: "test", cluster: { server, "insecure-skip-tls-verify": true } }], // so that it takes http
    users: [{ name: "test", user: { token: "TOKEN" } }],
  });
}
