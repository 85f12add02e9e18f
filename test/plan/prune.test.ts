import assert from "node:assert/strict";
import { test } from "node:test";
import { pass } from "../../src/controller/pass.ts";
import { decider } from "./at-once.ts";
import { readings, type Said, service } from "./build.ts";
import { config, memoryTarget } from "./memory.ts";

const SHARED = "orders.corp.example.com";
const theirs = ["a", "b", "c", "d"].map((name) =>
  service(name, { registry: "prod", legacyNames: name === "a" ? [SHARED] : [] }),
);
const ours = service("orders", { legacyNames: [SHARED] });

/** Services of a registry that has left, and what is decided when it is to be pruned. */
async function pruned(rest: object, said: Said, prune: readonly string[], registries = ["dc1"]) {
  const target = memoryTarget();
  const before = decider(config(["dc1", "prod"], rest));
  const input = () => ({ standing: target.standing(), nowMs: target.nowMs(), allowDeletes: new Set<string>() });
  const options = { target, signal: new AbortController().signal, mayWrite: () => true, isDryRun: false };
  await pass({ ...options, decide: () => before({ ...input(), readings: readings({ dc1: [], prod: theirs }) }) });
  const after = decider(config(registries, rest));
  const all = registries.length === 1 ? { dc1: said } : { dc1: said, prod: "connect ECONNREFUSED" };
  target.requests.length = 0;
  const { decision } = await pass({
    ...options,
    decide: () => after({ ...input(), readings: readings(all), prune: new Set(prune) }),
  });
  const left = [...target.objects.values()].filter(({ registry }) => registry === "prod").length;
  return { decision, left, target };
}

for (const [name, rest] of [
  ["whatever a brake would hold", { policy: { minDeletes: 0, maxDeletePercent: 1 } }],
  ["where else nothing is deleted", { policy: { mode: "upsert-only" } }],
] as const)
  test(`decide() deletes what stands of a registry that is pruned, ${name}`, async () => {
    const { decision, left } = await pruned(rest, [], ["prod"]);
    assert.equal(left, 0);
    assert.deepEqual(decision.plan.hold, []);
    assert.ok(decision.plan.delete.every(({ why }) => why === "its registry was pruned"));
  });

test("decide() lets the living have the names of what is pruned, before it goes", async () => {
  const { target } = await pruned({}, [ours], ["prod"]);
  const requests = target.requests.filter((request) => !request.startsWith("ledger"));
  const made = requests.indexOf("create ServiceEntry/mesh-services/orders.shop.dc1.mesh.internal");
  const gone = requests.indexOf("delete ServiceEntry/mesh-services/a.shop.prod.mesh.internal");
  assert.ok(made >= 0 && gone > made, requests.join());
  const entry = target.objects.get("ServiceEntry/mesh-services/orders.shop.dc1.mesh.internal");
  assert.match(entry?.manifest.metadata.annotations?.["x2istio.dev/names"] ?? "", /orders\.corp\.example\.com/);
});

for (const [name, prune, registries] of [
  ["is not asked for", [], ["dc1"]],
  ["is configured", ["prod"], ["dc1", "prod"]],
] as const)
  test(`decide() takes nothing from a registry that ${name}`, async () => {
    const { left, target } = await pruned({}, [ours], prune, [...registries]);
    assert.equal(left, 5);
    const names = (host: string) =>
      target.objects.get(`ServiceEntry/mesh-services/${host}`)?.manifest.metadata.annotations?.["x2istio.dev/names"];
    assert.match(names("a.shop.prod.mesh.internal") ?? "", /orders\.corp\.example\.com/);
    assert.equal(names("orders.shop.dc1.mesh.internal"), undefined);
  });
