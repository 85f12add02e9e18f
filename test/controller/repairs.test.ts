import assert from "node:assert/strict";
import { test } from "node:test";
import { controllerMetrics } from "../../src/controller/metrics.ts";
import { createRepairs } from "../../src/controller/repairs.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { OwnedObject } from "../../src/model/objects.ts";
import type { Update } from "../../src/model/plan.ts";
import type { WriteOutcome } from "../../src/model/target.ts";
import { entry } from "../plan/build.ts";

/** An object that is to stand, its change, and a clock that is moved by hand. */
function repairs(hasStood = true) {
  const said: string[] = [];
  const stream = { write: (line: string) => void said.push(JSON.parse(line).msg) };
  const metrics = createMetrics().once(controllerMetrics);
  const state = { nowMs: 0 };
  const all = createRepairs(
    () => hasStood,
    createLog({ level: "info", pretty: false, stream }),
    metrics,
    () => state.nowMs,
  );
  const standing = entry();
  const object: OwnedObject = { ...standing, service: "dc1/shop/orders" };
  const change: Update = { kind: "update", object, standing };
  const drift = async () =>
    (await metrics.targetDrift.get()).values.find(({ labels }) => labels.kind === "ServiceEntry")?.value;
  const write = (outcome: WriteOutcome = "written") => all.record({ results: [{ change, outcome }] });
  return { all, state, change, write, drift, said };
}

test("what stood and is written again was changed by someone: it is counted, said and told", async () => {
  const { write, drift, said } = repairs();
  const [notice] = write();
  assert.equal(notice?.reason, "PutBack");
  assert.match(notice?.message ?? "", /^someone changed it/);
  assert.equal(await drift(), 1);
  assert.deepEqual(said, ["someone changed or deleted an object of ours; it was put back"]);
});

test("a change of ours, or one that failed, is no repair", async () => {
  const ours = repairs(false);
  assert.deepEqual(ours.write(), []);
  const refused = repairs();
  assert.deepEqual(refused.write("failed"), []);
  assert.equal(await refused.drift(), 0);
});

test("what someone keeps changing is put back at growing intervals, and often again once it has rested", () => {
  const { all, state, change, write, said } = repairs(false);
  const waits: number[] = [];
  for (let times = 0; times < 14; times++) {
    const fromMs = state.nowMs;
    while (!all.isDue(change)) state.nowMs += 500;
    waits.push(state.nowMs - fromMs);
    write();
  }
  assert.deepEqual(
    waits,
    [0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300].map((seconds) => seconds * 1000),
  );
  assert.equal(said.length, 1);
  state.nowMs += 1_000_000;
  for (let times = 0; times < 3; times++) {
    assert.ok(all.isDue(change));
    write();
  }
  assert.ok(all.isDue({ kind: "delete", standing: change.standing, why: "gone" }));
});

test("people are told whether an object was changed or deleted", () => {
  const { all, change } = repairs();
  const { object } = change;
  const [notice] = all.record({ results: [{ change: { kind: "create", object }, outcome: "written" }] });
  assert.match(notice?.message ?? "", /^someone deleted it/);
  assert.equal(notice?.subject, object.key);
});

test("all that was put back is told, and 20 lines of it are said", () => {
  const { all, change, said } = repairs();
  const results = Array.from({ length: 22 }, () => ({
    change: { ...change, object: { ...change.object } },
    outcome: "written" as const,
  }));
  assert.equal(all.record({ results }).length, 22);
  assert.equal(said.length, 21);
  assert.equal(said.at(-1), "more objects were put back");
});
