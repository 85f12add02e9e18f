import assert from "node:assert/strict";
import { availableParallelism, loadavg } from "node:os";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { get, servicesPath } from "../e2e/cluster.ts";
import { until } from "../servers/kube-admin.ts";
import type { LoadTally } from "./calls.ts";
import { allAnswer, callOnAndOn, LEGACY, ORDERS, startCallers, startMove } from "./move.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const PER_SECOND = { http: 140, tcp: 60, grpc: 140 };
/** So many calls that chance alone does not make a share five percent another. */
const ENOUGH = 1600;

/** Calls by who answered, and those that failed, over all protocols. */
function sum(loads: Readonly<Record<string, LoadTally>>) {
  const who: Record<string, number> = {};
  const failed: string[] = [];
  for (const [protocol, load] of Object.entries(loads)) {
    for (const [name, count] of Object.entries(load.who)) who[name] = (who[name] ?? 0) + count;
    for (const [how, { count, firstMs }] of Object.entries(load.failed))
      failed.push(`${count} by ${protocol}, first at ${new Date(firstMs).toISOString()}: ${how}`);
  }
  const calls = Object.values(who).reduce((all, count) => all + count, 0);
  return { who, failed, calls };
}

test("a service is reported, split, moved inside, rolled back, moved again and retired, and no call fails", {
  skip,
}, async (t) => {
  const { mesh, consul, report, migrate, x2istio } = await startMove(t);
  const callers = await startCallers(mesh);
  assert.equal(
    await get(mesh.kube, `/apis/networking.istio.io/v1/namespaces/mesh-services/serviceentries/${ORDERS.host}`),
    undefined,
  );

  await t.test("way 4: a caller reports it", async () => {
    const { status, body } = await report();
    assert.deepEqual([status, body.service, body.host], [200, ORDERS.key, ORDERS.host]);
  });
  await allAnswer(mesh, callers, "outside");
  await callOnAndOn(callers, PER_SECOND);
  const startedMs = performance.now();
  let calls = 0;
  let longestPauseMs = 0;
  const failed: string[] = [];
  const take = async () => {
    const loads = await callers.take();
    const all = sum(loads);
    calls += all.calls;
    failed.push(...all.failed);
    longestPauseMs = Math.max(longestPauseMs, ...Object.values(loads).map((load) => load.longestPauseMs));
    return all;
  };
  /** Share of the next calls that are answered inside, in percent. */
  const share = async (enough: number) => {
    await take();
    const who: Record<string, number> = {};
    for (let seen = 0; seen < enough; ) {
      await sleep(200);
      const next = await take();
      for (const [name, count] of Object.entries(next.who)) who[name] = (who[name] ?? 0) + count;
      seen += next.calls;
    }
    const [inside = 0, outside = 0] = [who.inside, who.outside];
    return (100 * inside) / (inside + outside);
  };
  const alias = async () => (await get(mesh.kube, `${servicesPath()}/orders`))?.spec.externalName;

  await t.test("way 3: its calls go to the VMs", async () => {
    assert.equal(await share(200), 0);
    assert.equal(await alias(), ORDERS.host);
    assert.match(await x2istio("migrate", "check", LEGACY), /^Nothing is missing\.$/m);
  });

  for (const weight of [0, 10, 50, 100])
    await t.test(`split ${weight} %`, async () => {
      const told = await migrate("split", ORDERS.key, "--weight", String(weight));
      assert.match(told, /istiod has it; (\d+) of \1 proxies/);
      // Calls that were begun before are still answered by the other side for a moment.
      if (weight === 0 || weight === 100) return mesh.becomes(weight, () => share(200));
      const seen = await share(ENOUGH);
      t.diagnostic(`split ${weight} %: ${seen.toFixed(1)} % inside`);
      assert.ok(Math.abs(seen - weight) <= 5, `${seen} % inside`);
    });

  await t.test("way 2: inside, then back to way 3, then inside again", async () => {
    for (const [command, who, leadsTo] of [
      ["move", "inside", "orders-v2.shop.svc.cluster.local"],
      ["back", "outside", ORDERS.host],
      ["move", "inside", "orders-v2.shop.svc.cluster.local"],
    ] as const) {
      await migrate(command, ORDERS.key);
      // Who has looked the legacy name up before may call the old address as long as its answer lives.
      await mesh.becomes(who === "inside" ? 100 : 0, () => share(200));
      assert.equal(await alias(), leadsTo);
    }
    const { clusterIP } = (await get(mesh.kube, `${servicesPath()}/orders-v2`))?.spec ?? {};
    await mesh.becomes(String(clusterIP), () => callers.web.lookUp(LEGACY, 4));
  });

  await t.test("retired: the registry has nothing of it any more", async () => {
    await consul.deregister({ id: "orders" });
    await until("it has been without endpoints for a while", async () => {
      const preview = await x2istio("migrate", "retire", ORDERS.key, "--dry-run").catch(String);
      return /inside → retired/.test(preview) && !/stays inside/.test(preview);
    });
    await migrate("retire", ORDERS.key);
    assert.equal(await share(300), 100);
    assert.match(await x2istio("migrate", "status"), /^dc1\/default\/orders +\d+ +retired +shop\/orders-v2/m);
  });

  await take();
  const perSecond = (1000 * calls) / (performance.now() - startedMs);
  t.diagnostic(`${calls} calls, ${Math.round(perSecond)} a second, longest pause ${longestPauseMs} ms`);
  assert.deepEqual(failed, []);
  // Beside much else at work not even the callers get their share of the processor.
  const isStarved = (loadavg()[0] ?? 0) > 4 * availableParallelism();
  assert.ok(perSecond >= 200 || isStarved, `${perSecond} calls a second`);
  assert.match(await x2istio("report"), new RegExp(`^ {2}${LEGACY} +${ORDERS.key} +retired +\\d+ questions`, "m"));
});
