import assert from "node:assert/strict";
import { test } from "node:test";
import { demandSource, type Running } from "../../../src/cli/serve/demand-source.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { table } from "../../dns/wire.ts";
import { decider } from "../../plan/at-once.ts";
import { NOW_MS, readings, service, standing } from "../../plan/build.ts";
import { config } from "../../plan/memory.ts";

const log = createLog({ level: "silent", pretty: false });
const settings = config([{ name: "dc1", demand: "reported" }, { name: "vms" }]);
const decision = decider(settings)({
  readings: readings({ dc1: [service("orders")], vms: [service("stock", { registry: "vms" })] }),
  standing: standing(),
  nowMs: NOW_MS,
  allowDeletes: new Set(),
});
const names = table({
  "orders.mesh.internal": { waits: true, service: "dc1/shop/orders" },
  "stock.mesh.internal": { a: ["240.241.0.7"], service: "vms/shop/stock" },
  "nobody.mesh.internal": { a: ["240.241.0.8"] },
  "gone.mesh.internal": { a: ["240.241.0.9"], service: "dc1/shop/gone" },
});

function source({ isDecided = true, isRunning = true, named = names as NameTable | undefined } = {}) {
  const running = {
    config: settings,
    opened: { target: { nowMs: () => NOW_MS } },
    controller: { latest: () => (isDecided ? decision : undefined) },
  } as unknown as Running;
  return demandSource({
    running: () => (isRunning ? running : undefined),
    table: () => named,
    context: { metrics: createMetrics(), log },
  });
}

const asked = (name: string) => ({ name, view: "mesh", client: "192.0.2.7", questions: 1, lastMs: NOW_MS });
const cases: readonly {
  readonly name: string;
  readonly asks: string;
  readonly how?: Parameters<typeof source>[0];
  readonly want: readonly string[];
}[] = [
  { name: "a service that runs on demand", asks: "orders.mesh.internal", want: ["dc1/shop/orders"] },
  { name: "a service of a registry that stands as a whole", asks: "stock.mesh.internal", want: [] },
  { name: "a name without a service", asks: "nobody.mesh.internal", want: [] },
  { name: "a name that nobody has", asks: "other.example.org", want: [] },
  { name: "a service that is not known any more", asks: "gone.mesh.internal", want: [] },
  { name: "a service before the first decision", asks: "orders.mesh.internal", how: { isDecided: false }, want: [] },
  { name: "a service before anything runs", asks: "orders.mesh.internal", how: { isRunning: false }, want: [] },
];
for (const { name, asks, how, want } of cases)
  test(`onQuestions() of demandSource() notes ${want.length === 0 ? "nothing of " : ""}${name}`, () => {
    const { demand, onQuestions } = source(how);
    onQuestions([asked(asks)] as unknown as Parameters<typeof onQuestions>[0]);
    assert.deepEqual([...demand.demands().keys()], want);
    for (const { by } of demand.demands().values())
      assert.deepEqual(by, [{ caller: "192.0.2.7", via: "dns", view: "mesh", lastMs: NOW_MS }]);
  });

test("onQuestions() of demandSource() knows no service before there are names", () => {
  const { demand, onQuestions } = demandSource({
    running: () => undefined,
    table: () => undefined,
    context: { metrics: createMetrics(), log },
  });
  onQuestions([asked("orders.mesh.internal")] as unknown as Parameters<typeof onQuestions>[0]);
  assert.equal(demand.demands().size, 0);
});

test("onWanted() of demandSource() notes what DNS has to wait for, of registries that run on demand", () => {
  const { demand, onWanted } = source();
  for (const service of ["dc1/shop/orders", "vms/shop/stock", "dc1/shop/nobody", "not a key"])
    onWanted({ service, view: "mesh", client: "192.0.2.7" });
  assert.deepEqual([...demand.demands().keys()], ["dc1/shop/orders"]);
});

test("reports() of demandSource() takes reports only where the configuration says from whom", () => {
  const { reports } = source();
  const allow = config([], { http: { reports: { tokenFile: "token" } } }).http;
  assert.equal(reports(settings.http), undefined);
  assert.notEqual(reports(allow), undefined);
});
