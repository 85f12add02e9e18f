import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { each } from "../../src/async/each.ts";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { entries, leader, MESH, SHOP, servicesPath, untilEndpoints, vipsOf } from "./cluster.ts";
import { dnsQuery } from "./dns.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const TENANT = "evil";
const SERVICES = 79;
const ADDRESSES = 70_000;
const ROUTES = 20;
const HOSTS = 40_000;
/** Where the last Service and the last VirtualService are. */
const LAST = ["after-services", "after-routes"] as const;
/** Some of it takes long on a busy machine. */
const MOST_MS = 600_000;
/** Of what a liveness probe waits for. */
const PROBE_MS = 1000;

const orders = httpService("orders", "198.51.100.1");
const db = tcpService("db", "198.51.100.2");

test(securityRow({
  who: "cluster tenant",
  attack: "writes 79 Services with 70,000 externalIPs each and 20 VirtualServices with 40,000 hosts each",
  outcome:
    "the process keeps its Lease, answers probes within a second and names as before, in a heap of 512 MiB, also if it is restarted then",
}), { skip }, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP, TENANT, ...LAST] });
  t.after(() => kube.stop());
  const place = await fixture(t, [orders, db]);
  const vips = new Map<string, string>();
  await live(t, kube, place, vips, "planted while it runs", async (replica) => {
    for (const [host, vip] of vipsOf(await entries(kube))) vips.set(host, vip);
    await plant(kube);
    await until(
      "what was planted is known",
      async () => {
        const last = replica.logged(
          "an object carries our labels where we do not write; it is treated as someone else's",
        );
        return LAST.every((namespace) => last.some((line) => line.namespace === namespace));
      },
      MOST_MS,
    );
    await place.setServices([{ ...orders, endpoints: [{ address: "198.51.100.7" }] }, db]);
    await untilEndpoints(kube, hostOf(orders), ["198.51.100.7"]);
  });
  await live(t, kube, place, vips, "restarted beside it", async () => {
    await place.setServices([{ ...orders, endpoints: [{ address: "198.51.100.8" }] }, db]);
    await untilEndpoints(kube, hostOf(orders), ["198.51.100.8"]);
  });
  assert.deepEqual(vipsOf(await entries(kube)), vips);
});

/** Run a replica with a small heap while `act` acts, and watch all that callers and the cluster need of it. */
async function live(
  t: TestContext,
  kube: Kube,
  { config, ports }: Fixture,
  vips: ReadonlyMap<string, string>,
  title: string,
  act: (replica: Replica) => Promise<void>,
): Promise<void> {
  const main = resolve(import.meta.dirname, "../../src/main.ts");
  const env = { KUBECONFIG: kube.kubeconfigPath };
  const args = [main, "run", "--config", config];
  const replica = startReplica(t, { config, ports, env, entry: "--max-old-space-size=512", args });
  const ended = new AbortController();
  void replica.exited.then(() => ended.abort());
  await until("it answers probes", async () => (await fetch(`${replica.http}/healthz`)).ok);
  let holder: string | undefined;
  const run = async () => {
    await ready(replica, MOST_MS);
    await until("it leads", async () => (await leader(kube)) !== undefined);
    holder = await leader(kube);
    const named = watchNames(replica, vips, ended.signal);
    await act(replica).finally(() => ended.abort());
    return await named;
  };
  const [probes, answers] = await Promise.all([watchProbes(replica, ended.signal), run()]);
  assert.ok(replica.isRunning(), replica.output());
  assert.equal(await leader(kube), holder, "nobody else, and no other process of its own, has the Lease");
  assert.equal(replica.logged("leadership changed").filter(({ leads }) => leads === true).length, 1);
  const status = await readFile(`/proc/${replica.pid}/status`, "utf8");
  const mostRss = Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024);
  t.diagnostic(
    `${title}: ${probes.count} probes, the slowest ${probes.mostMs} ms, ${probes.mostBusyMs} ms of it computing; ${answers} answers; RSS at most ${mostRss} MiB`,
  );
  assert.ok(probes.mostBusyMs < PROBE_MS, `a probe waited for ${probes.mostBusyMs} ms of computing`);
  await replica.stop();
}

/** How quickly /healthz answered. */
interface Probes {
  readonly count: number;
  /** The longest by the clock. */
  readonly mostMs: number;
  /** The most that the process computed on its main thread while one waited: how long it takes where others leave it a core. */
  readonly mostBusyMs: number;
}

/** Ask /healthz again and again. */
async function watchProbes({ http, pid }: Replica, signal: AbortSignal): Promise<Probes> {
  const busyMs = async () =>
    Number((await readFile(`/proc/${pid}/task/${pid}/schedstat`, "utf8")).split(" ")[0]) / 1_000_000;
  let [count, mostMs, mostBusyMs] = [0, 0, 0];
  while (!signal.aborted) {
    const [started, busyBefore] = [performance.now(), await busyMs()];
    assert.equal((await fetch(`${http}/healthz`)).status, 200);
    mostMs = Math.max(mostMs, Math.round(performance.now() - started));
    mostBusyMs = Math.max(mostBusyMs, Math.round((await busyMs()) - busyBefore));
    count++;
    await sleep(100);
  }
  return { count, mostMs, mostBusyMs };
}

/** Ask for names again and again: each has the VIP that it had before. */
async function watchNames({ dns }: Replica, vips: ReadonlyMap<string, string>, signal: AbortSignal): Promise<number> {
  let count = 0;
  while (!signal.aborted) {
    for (const [host, vip] of vips) {
      const { addresses } = await dnsQuery(dns, host, "A", 60_000);
      assert.deepEqual(addresses, [vip], host);
      count++;
    }
    await sleep(100);
  }
  return count;
}

/** What a tenant with rights in one namespace can write, at the size that etcd takes. */
async function plant(kube: Kube): Promise<void> {
  // An error repeats what was sent: a megabyte.
  const post = async (path: string, body: object) =>
    assert.equal((await kube.request("POST", path, body)).status, 201, path);
  const labels = { "app.kubernetes.io/managed-by": "x2istio", "x2istio.dev/owner": "east" };
  const last = { name: "last", labels };
  const [afterServices, afterRoutes] = LAST;
  const externalIPs = Array.from(
    { length: ADDRESSES },
    (_, at) => `240.${241 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`,
  );
  const ports = [{ name: "http", port: 80 }];
  await each([...Array(SERVICES).keys()], 2, (at) =>
    post(servicesPath(TENANT), { metadata: { name: `s${at}` }, spec: { ports, externalIPs } }),
  );
  await post(servicesPath(afterServices), { metadata: last, spec: { ports } });
  const hosts = Array.from({ length: HOSTS }, (_, at) => `h${at}.shop.vms.mesh.internal`);
  const http = [{ route: [{ destination: { host: "evil.example.org" } }] }];
  const route = { apiVersion: "networking.istio.io/v1", kind: "VirtualService" };
  const path = (namespace: string) => `/apis/networking.istio.io/v1/namespaces/${namespace}/virtualservices`;
  await each([...Array(ROUTES).keys()], 2, (at) =>
    post(path(TENANT), { ...route, metadata: { name: `v${at}` }, spec: { hosts, http } }),
  );
  await post(path(afterRoutes), { ...route, metadata: last, spec: { hosts: ["last.example.org"], http } });
}
