import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { get, MESH, SHOP, servicesPath } from "../e2e/cluster.ts";
import { until } from "../servers/kube-admin.ts";
import type { LoadTally } from "./calls.ts";
import { makeCertificates, serveCertificates } from "./certificates.ts";
import { readExample } from "./example.ts";
import type { Manifest } from "./manifests.ts";
import { INSIDE, LEGACY, type Move, ORDERS, PORTS, startMove } from "./move.ts";
import { ownNetwork } from "./network.ts";
import type { App } from "./pod.ts";
import { startAmbient, startWaypointProxy, withoutIstiosFilters } from "./waypoint.ts";
import { runningWaypoint, startZtunnel } from "./ztunnel.ts";

const skip = await ownNetwork();

const REPLACEMENT = "orders-v2.shop.svc.cluster.local";
/** Of each protocol and name. */
const PER_SECOND = 30;
/** So many calls that chance alone does not make a share seven percent another. */
const ENOUGH = 800;

/** An ambient pod that calls a service by its names and by its VIP, and the waypoint that this leads through. */
async function startCaller(t: TestContext) {
  const certificates = await makeCertificates(t);
  await serveCertificates(t, certificates);
  const move = await startMove(t, {
    registry: { waypoint: "mesh-services/waypoint" },
    manifests: [...(await readExample("ambient")).manifests, withoutIstiosFilters("mesh-services", "waypoint")],
    istiod: { env: { PILOT_ENABLE_AMBIENT: "true", PILOT_SKIP_VALIDATE_TRUST_DOMAIN: "true" } },
  });
  const { mesh, report } = move;
  const labels = { "istio.io/dataplane-mode": "ambient" };
  await mesh.kube.request("PATCH", "/api/v1/namespaces/shop", { metadata: { labels } });
  const pod = await mesh.pod("waypoint-1", {
    namespace: "mesh-services",
    labels: { "gateway.networking.k8s.io/gateway-name": "waypoint" },
  });
  const running = runningWaypoint(pod.network.address);
  await mesh.apply(...running.objects);
  await mesh.kube.request("PATCH", `${running.pod}/status`, { status: running.status });
  const waypoint = await startWaypointProxy(pod);
  assert.equal((await report()).status, 200);

  const ztunnel = startZtunnel();
  t.after(() => ztunnel.stop());
  const led = "mesh-services/waypoint.mesh-services.svc.cluster.local";
  await mesh.becomes(led, async () => ztunnel.service(ORDERS.host)?.waypoint);
  const [orders, replacement] = [ztunnel.service(ORDERS.host), ztunnel.service(REPLACEMENT)];
  assert.ok(orders !== undefined && replacement !== undefined && replacement.waypoint === undefined);
  const services = [orders, { ...replacement, endpoint: INSIDE }];
  const web = await startAmbient(mesh, "web", { waypoint: pod.network.address, services }, certificates);
  return { move, waypoint, web, vip: orders.vips.join() };
}

/** Begin to call by every protocol: by VIP, which always leads through the waypoint, and by names, which lead where DNS says. */
async function callOnAndOn(web: App, vip: string): Promise<void> {
  const begin = (name: string, call: Parameters<App["load"]>[0]["call"]) =>
    web.load({ name, call, perSecond: PER_SECOND });
  for (const [name, host] of Object.entries({ vip, legacy: LEGACY, alias: "orders" })) {
    await begin(`http by ${name}`, { kind: "http", url: `http://${host}:${PORTS.http}` });
    await begin(`tcp by ${name}`, { kind: "tcp", host, port: PORTS.tcp });
    await begin(`grpc by ${name}`, { kind: "grpc", target: `dns:///${host}:${PORTS.grpc}` });
  }
}

/** What came of the calls since they began, and of those to come. */
function watchCalls(web: App) {
  const failed: string[] = [];
  let calls = 0;
  const take = async () => {
    const loads: Readonly<Record<string, LoadTally>> = await web.takeLoads();
    for (const [name, load] of Object.entries(loads)) {
      for (const [how, { count, firstMs }] of Object.entries(load.failed))
        failed.push(`${count} ${name}, first at ${new Date(firstMs).toISOString()}: ${how}`);
      calls += Object.values(load.who).reduce((all, count) => all + count, 0);
    }
    return loads;
  };
  return {
    failed,
    calls: () => calls,
    /** Share that is answered inside of the next calls, in percent, over all and of each name and protocol. */
    async share(enough: number): Promise<{ readonly all: number; readonly each: Readonly<Record<string, number>> }> {
      await take();
      const seen: Record<string, { inside: number; outside: number }> = {};
      const sum = (who: "inside" | "outside") => Object.values(seen).reduce((all, one) => all + one[who], 0);
      while (sum("inside") + sum("outside") < enough) {
        await sleep(200);
        for (const [name, { who }] of Object.entries(await take())) {
          const { inside = 0, outside = 0 } = seen[name] ?? {};
          seen[name] = { inside: inside + (who.inside ?? 0), outside: outside + (who.outside ?? 0) };
        }
      }
      const percent = (inside: number, outside: number) => (100 * inside) / (inside + outside);
      const each = Object.entries(seen).map(([name, { inside, outside }]) => [name, percent(inside, outside)]);
      return { all: percent(sum("inside"), sum("outside")), each: Object.fromEntries(each) };
    },
  };
}

/** All HTTP calls inside, as a team would route them by itself. */
function theirRoutes(namespace: string): Manifest {
  const destination = { host: REPLACEMENT, port: { number: PORTS.http } };
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "VirtualService",
    metadata: { name: "orders", namespace },
    spec: { hosts: [ORDERS.host, LEGACY], http: [{ match: [{ port: PORTS.http }], route: [{ destination }] }] },
  };
}

async function retire({ consul, migrate, x2istio }: Move): Promise<void> {
  await consul.deregister({ id: "orders" });
  await until("it can be retired", async () => {
    const preview = await x2istio("migrate", "retire", ORDERS.key, "--dry-run").catch(String);
    return /inside → retired/.test(preview) && !/stays inside/.test(preview);
  });
  await migrate("retire", ORDERS.key);
}

test("through a waypoint, too, no call fails while a service is split, moved inside, back, inside again and retired", {
  skip,
}, async (t) => {
  const { move, waypoint, web, vip } = await startCaller(t);
  const { mesh, migrate, x2istio } = move;
  for (const host of [vip, LEGACY, "orders", ORDERS.host]) {
    await mesh.becomes("outside", () => web.http(`http://${host}:${PORTS.http}`));
    await mesh.becomes("outside", () => web.tcp(host, PORTS.tcp));
    await mesh.becomes("outside", () => web.grpc(`dns:///${host}:${PORTS.grpc}`));
  }
  await t.test("a team's own routes count in the service's namespace, not in an alias's", async () => {
    const ours = `/apis/networking.istio.io/v1/namespaces/${MESH}/virtualservices/${ORDERS.host}`;
    for (const [namespace, who] of [
      [SHOP, "outside"],
      [MESH, "inside"],
    ] as const) {
      await mesh.apply(theirRoutes(namespace));
      await until("ours is gone", async () => (await get(mesh.kube, ours)) === undefined);
      await mesh.istiod.settled();
      await mesh.becomes(who, () => web.http(`http://${vip}:${PORTS.http}`));
      await mesh.remove(theirRoutes(namespace));
      await until("ours is back", async () => (await get(mesh.kube, ours)) !== undefined);
    }
    await mesh.becomes("outside", () => web.http(`http://${vip}:${PORTS.http}`));
  });

  assert.match(await x2istio("migrate", "check", LEGACY), /^Nothing is missing\.$/m);
  await callOnAndOn(web, vip);
  const watch = watchCalls(web);
  const tunnels = () => waypoint.stat("http.connect_terminate.downstream_rq_total");

  for (const weight of [10, 50, 100])
    await t.test(`split ${weight} %`, async () => {
      await migrate("split", ORDERS.key, "--weight", String(weight));
      if (weight === 100) return mesh.becomes(100, async () => (await watch.share(200)).all);
      const seen = await watch.share(ENOUGH);
      t.diagnostic(`split ${weight} %: ${JSON.stringify(seen)} inside`);
      assert.ok(Math.abs(seen.all - weight) <= 7, JSON.stringify(seen));
      // Of a tenth, one load may have none by chance.
      if (weight === 50)
        for (const [name, inside] of Object.entries(seen.each)) assert.ok(inside > 0 && inside < 100, name);
    });

  for (const [command, inside] of [
    ["move", 100],
    ["back", 0],
    ["move", 100],
  ] as const)
    await t.test(`${command}: ${inside} %`, async () => {
      await migrate(command, ORDERS.key);
      const before = await tunnels();
      // A connection that was made straight to the Service stays there as long as its client keeps it, as no proxy is between.
      const isFree = (name: string) => name.endsWith("vip") || name.startsWith("tcp");
      const freed = async () => Object.entries((await watch.share(200)).each).filter(([name]) => isFree(name));
      await mesh.becomes(true, async () => (await freed()).every(([, share]) => share === inside));
      const { clusterIP } = (await get(mesh.kube, `${servicesPath()}/orders-v2`))?.spec ?? {};
      for (const name of [LEGACY, "orders.shop"])
        await mesh.becomes(inside === 100 ? String(clusterIP) : vip, () => web.lookUp(name, 4));
      assert.equal(
        await web.grpc(`dns:///orders.shop:${PORTS.grpc}`),
        "inside",
        "its only connection is of the first move",
      );
      assert.ok((await tunnels()) > before, "calls by VIP go on through the waypoint");
    });

  await t.test("retired", async () => {
    await retire(move);
    await mesh.becomes(100, async () => (await watch.share(500)).all);
  });
  await watch.share(1);
  t.diagnostic(`${watch.calls()} calls, ${await tunnels()} tunnels`);
  assert.deepEqual(watch.failed, []);
});
