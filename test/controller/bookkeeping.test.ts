import assert from "node:assert/strict";
import { test } from "node:test";
import { createBookkeeping } from "../../src/controller/bookkeeping.ts";
import { controllerMetrics } from "../../src/controller/metrics.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Brake, Change, Hold } from "../../src/model/plan.ts";
import type { WriteResult } from "../../src/model/target.ts";
import { decide } from "../../src/plan/decide.ts";
import type { Decision } from "../../src/plan/decision.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { entry, ledgerBlock, NOW_MS, readings, type Said, service, standing } from "../plan/build.ts";
import { config } from "../plan/memory.ts";

const settings = config(["dc1", { name: "prod", demand: "reported" }], { policy: { releaseAfter: "1h" } });

function bench() {
  const lines: Readonly<Record<string, unknown>>[] = [];
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const metrics = createMetrics().once(controllerMetrics);
  const books = createBookkeeping(settings, planMemory(), createLog({ level: "info", pretty: false, stream }), metrics);
  return { books, metrics, lines };
}

function decisionOf(said: Said, stands = standing(), fields: Partial<Decision["plan"]> = {}): Decision {
  const made = decide(settings, {
    readings: readings({ dc1: said, prod: [service("known", { registry: "prod" })] }),
    ...{ standing: stands, nowMs: NOW_MS, allowDeletes: new Set<string>() },
  });
  return { ...made, plan: { ...made.plan, ...fields } };
}

/** The values of a metric that are not 0, by its labels. */
async function valuesOf(metric: { get(): Promise<{ values: { labels: object; value: number }[] }> }) {
  const { values } = await metric.get();
  const set = values.filter(({ value }) => value !== 0);
  return Object.fromEntries(set.map(({ labels, value }) => [Object.values(labels).join(" "), value]));
}

const brake = (registry: string, kind: Brake["kind"]): Brake => ({ registry, kind, message: `brake: ${registry}` });
const written = (change: Change, outcome: WriteResult["outcome"] = "written"): WriteResult => ({ change, outcome });
const pass = { ledgerWrites: 0, tookMs: 5 };

test("a decision is counted: who leads, what is asked for, VIPs of this owner, used and resting", async () => {
  const { books, metrics } = bench();
  const data = {
    "240-241-0-1": "a.example.org east used",
    "240-241-0-2": `b.example.org east resting ${new Date(NOW_MS - 1000).toISOString()}`,
    "240-241-0-3": "c.example.org west used",
  };
  const objects = [entry("dc1/shop/a", { host: "a.example.org", addresses: ["240.241.0.1"] })];
  const stands = standing({ objects, ledger: [ledgerBlock("x2istio-vips-240-241-0-0", data)] });
  books.decided(decisionOf([service("a")], stands), true);
  assert.deepEqual(await valuesOf(metrics.leaderState), { "": 1 });
  assert.deepEqual(await valuesOf(metrics.vipsUsed), { "": 1 });
  assert.deepEqual(await valuesOf(metrics.vipsResting), { "": 1 });
  assert.deepEqual(await valuesOf(metrics.demandServices), { "prod known": 1 });
  books.decided(decisionOf([service("a")], stands), false);
  assert.deepEqual(await valuesOf(metrics.leaderState), {});
});

test("services beyond the limit of their registry are counted, and those of others are 0", async () => {
  const { books, metrics } = bench();
  const decision = decisionOf([service("a")]);
  const beyond = new Map(["b", "c"].map((name) => [`dc1/shop/${name}`, service(name)]));
  books.decided({ ...decision, beyond }, true);
  assert.deepEqual(await valuesOf(metrics.registryOverLimit), { dc1: 2 });
  books.decided(decision, true);
  assert.deepEqual(await valuesOf(metrics.registryOverLimit), {});
});

test("a brake is counted by registry and kind while it is on, and told to people", async () => {
  const { books, metrics } = bench();
  const brakes = [brake("dc1", "endpoints")];
  const on = decisionOf([service("a")], standing(), { brakes });
  books.decided(on, true);
  assert.deepEqual(await valuesOf(metrics.brakeState), { "dc1 endpoints": 1 });
  const notices = books.written(on, { ...pass, report: { results: [] } });
  assert.deepEqual(
    notices.map(({ reason, subject }) => `${reason} ${subject}`),
    ["BrakeOn dc1 endpoints"],
  );
  books.decided(decisionOf([service("a")]), true);
  assert.deepEqual(await valuesOf(metrics.brakeState), {});
});

test("what was written is said with how much of it, also where that was the ledger alone, and nothing where nothing was", () => {
  const { books, lines } = bench();
  const decision = decisionOf([service("a")], standing(), { brakes: [] });
  books.written(decision, { ...pass, report: { results: [] } });
  assert.equal(lines.length, 0);
  books.written(decision, { ...pass, report: { results: [] }, ledgerWrites: 1 });
  assert.deepEqual([lines[0]?.msg, lines[0]?.ledgerWrites], ["wrote what changed", 1]);
  const remove: Change = { kind: "delete", standing: entry("dc1/shop/x"), why: "" };
  const [create] = decision.plan.create;
  assert.ok(create !== undefined);
  const results = [
    written(create),
    written(create),
    written(remove),
    written(remove, "skipped"),
    written(create, "conflict"),
  ];
  books.written(decision, { ...pass, report: { results } });
  const { created, updated, deleted, written: done, unwritten } = lines[1] ?? {};
  assert.deepEqual(
    { created, updated, deleted, done, unwritten },
    { created: 2, updated: 0, deleted: 1, done: 3, unwritten: 2 },
  );
});

for (const [said, count] of [
  ["connection refused", 0],
  [undefined, 0],
  [[service("a")], 1],
] as const)
  test(`services that cannot be read are said ${count === 0 ? "not one by one" : "one by one"} of a registry that said ${typeof said}`, () => {
    const { books, lines } = bench();
    const hold: Hold[] = [
      { reason: "unread", subject: "a", service: "dc1/shop/a", registry: "dc1", message: "refused" },
    ];
    books.written(decisionOf(said, standing(), { hold }), { ...pass, report: { results: [] } });
    assert.equal(lines.filter(({ msg }) => msg === "held").length, count);
  });
