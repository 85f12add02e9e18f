import assert from "node:assert/strict";
import { test } from "node:test";
import { moveNamed, movesOf, stageShareText } from "../../src/migrate/moves.ts";
import { writeDemand } from "../../src/model/demand.ts";
import type { Manifest } from "../../src/model/objects.ts";
import type { ServiceUseJson } from "../../src/usage/json.ts";
import { service } from "../plan/build.ts";
import { ask, HOST, KEY, LEGACY } from "../plan/moving.ts";
import { type Stepping, stepping } from "./stepping.ts";

const two = [service("orders"), service("stock")];
const decisionOf = ({ move, decide }: Stepping) => decide(move.target.standing());

async function standing(made: Stepping): Promise<Stepping> {
  await made.move.settle();
  return made;
}

test("movesOf() has every service that stands, sorted, with who claims it and where it is", async () => {
  const made = stepping(two.toReversed());
  made.move.claim(ask("split", 10));
  await made.move.settle();
  const moves = movesOf(decisionOf(made));
  assert.deepEqual(
    moves.map(({ service: key, stage, weight, claimants, host }) => [key, stage, weight, claimants.length, host]),
    [
      [KEY, "split", 10, 1, HOST],
      ["dc1/shop/stock", "outside", 0, 0, "stock.shop.dc1.mesh.internal"],
    ],
  );
  made.move.claim(undefined);
  made.move.claim(ask("split", 10), "orders-v3");
  const [first] = movesOf(decisionOf(made));
  assert.deepEqual(
    first?.claimants.map(({ name }) => name),
    ["orders-v2", "orders-v3"],
    "where it is led first, then who claims it",
  );
});

test("movesOf() says why a claim does not count", async () => {
  const made = stepping(two, {});
  made.move.claim(ask("split", 10));
  await made.move.settle();
  const [orders, stock] = movesOf(decisionOf(made));
  assert.deepEqual(
    orders?.blockers.map(({ kind }) => kind),
    ["allow"],
  );
  assert.match(orders?.blockers[0]?.message ?? "", /may not replace dc1\/shop\/orders/);
  assert.deepEqual([orders?.claim, stock?.blockers], [undefined, []]);
});

test("movesOf() names each caller once, sorted, from wherever it is known", async () => {
  const made = await standing(stepping(two));
  for (const [key, object] of made.move.target.objects) {
    if (object.service !== KEY || object.manifest.kind !== "ServiceEntry") continue;
    const { metadata } = object.manifest;
    const demand = writeDemand({ lastMs: 0, callers: ["web", "batch"] });
    const annotations = { ...metadata.annotations, "x2istio.dev/demand": demand };
    const manifest = { ...object.manifest, metadata: { ...metadata, annotations } } as Manifest;
    made.move.target.objects.set(key, { ...object, manifest });
  }
  const use: ServiceUseJson = {
    ...{ service: KEY, host: HOST, stage: "outside", claimant: null, lastAsked: null },
    names: [
      { name: HOST, kind: "host", questions: 1, lastAsked: null, views: {}, clients: ["192.0.2.7"] },
      { name: LEGACY, kind: "legacy", questions: 1, lastAsked: null, views: {}, clients: ["192.0.2.7", "192.0.2.1"] },
    ],
    reports: [{ caller: "web", lastAsked: null }],
  };
  const [orders, stock] = movesOf(decisionOf(made), [use]);
  assert.deepEqual(orders?.callers, ["192.0.2.1", "192.0.2.7", "batch", "web"]);
  assert.deepEqual(stock?.callers, []);
});

for (const name of [KEY, HOST, `${HOST.toUpperCase()}.`, LEGACY, "orders.apps", "orders", "shop/orders-v2"])
  test(`moveNamed() finds a service by ${name}`, async () => {
    const made = stepping(two);
    made.move.claim(ask("outside"));
    await made.move.settle();
    assert.equal(moveNamed(name, decisionOf(made), "cluster.local").service, KEY);
  });

test("moveNamed() takes a service's own name before a claimant's", async () => {
  const made = stepping(two);
  made.move.claim({ ...ask("outside"), service: "dc1/shop/stock" }, "orders");
  await made.move.settle();
  const decision = decisionOf(made);
  assert.equal(moveNamed("shop/orders", decision, "cluster.local").service, KEY);
});

test("moveNamed() refuses what means nothing, or two, or what does not stand", async () => {
  const twins = [service("orders"), service("orders", { namespace: "web" })];
  const made = await standing(stepping(twins));
  const named = (name: string) => () => moveNamed(name, decisionOf(made), "cluster.local");
  assert.throws(named("nothing"), /^Error: Cannot find "nothing"/);
  assert.throws(named("orders"), /Cannot tell what "orders" means: dc1\/shop\/orders, dc1\/web\/orders; name one/);
  made.move.said = [...twins, service("new")];
  assert.throws(named("new"), /Cannot move "new" as dc1\/shop\/new is not in the target yet/);
});

test("stageShareText() says the share at split alone", () => {
  assert.equal(stageShareText({ stage: "split", weight: 10 }), "split 10 %");
  assert.equal(stageShareText({ stage: "inside", weight: 100 }), "inside");
});
