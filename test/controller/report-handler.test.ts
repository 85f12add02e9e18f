import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import fc from "fast-check";
import { createDemand } from "../../src/controller/demand.ts";
import { createLooks } from "../../src/controller/looks.ts";
import { reportHandler } from "../../src/controller/report-handler.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import type { Report, ReportAnswer } from "../../src/model/report.ts";
import { editsBetween, nearestNames } from "../../src/plan/names/nearest.ts";
import { waitingNames } from "../../src/plan/names/waiting-names.ts";
import { buildNameTable, decider } from "../plan/at-once.ts";
import { entry, failed, foreign, incomplete, NOW_MS, readings, type Said, service, standing } from "../plan/build.ts";
import { config } from "../plan/memory.ts";

const settings = config(
  [{ name: "dc1", demand: "reported", legacyNames: ["{service}.l5.example.org"] }, { name: "dc2" }],
  { merge: [] },
);
const services = [
  service("orders"),
  service("stock"),
  service("sid", { aliases: [{ namespace: "l5", name: "1001:2" }], aliasesOnly: true }),
  service("taken"),
];
const stands = entry("dc1/shop/orders", { addresses: ["240.241.0.7"] });

function handler({ said = services as Said, merge = [] as readonly string[], settledAtMs = 0, waitMs = 60 } = {}) {
  const now = standing({
    objects: [stands],
    foreign: [foreign("ServiceEntry", "web/taken", { hosts: ["taken.shop.dc1.mesh.internal"] })],
  });
  const decision = decider(settings)({
    readings: readings({ dc1: said, dc2: [] }),
    standing: now,
    nowMs: NOW_MS,
    allowDeletes: new Set(),
  });
  const waiting = waitingNames(decision, new Set(["dc1"])).rows;
  let table: NameTable = buildNameTable(now, { settleMs: 0, nowMs: NOW_MS, waiting });
  if (settledAtMs > 0)
    table = { ...table, names: new Map([...table.names].map(([name, row]) => [name, { ...row, settledAtMs }])) };
  const demand = createDemand();
  const made = reportHandler({
    ...{ table: () => table, latest: () => decision, demand, nowMs: () => NOW_MS },
    ...{ merge: () => merge, waitMs: () => waitMs },
  });
  const report = (reports: readonly Report[], signal = new AbortController().signal) =>
    made.report(reports, "web", signal);
  const setTable = (next: NameTable) => {
    table = next;
  };
  return { report, demand, setTable, table };
}

const table: NameTable = buildNameTable(standing(), { settleMs: 0, nowMs: NOW_MS });
const decided = (said: Said) =>
  decider(settings)({
    readings: readings({ dc1: said, dc2: [] }),
    standing: standing(),
    nowMs: NOW_MS,
    allowDeletes: new Set(),
  });

const parts = (registry: string, name: string) => ({ registry, namespace: "shop", service: name });
const readyOrders: ReportAnswer = {
  state: "ready",
  service: "dc1/shop/orders",
  host: "orders.shop.dc1.mesh.internal",
  vips: ["240.241.0.7"],
  ports: [{ name: "http-web", number: 8080, transport: "tcp" }],
};
const pending = (name: string): ReportAnswer => ({
  state: "pending",
  service: `dc1/shop/${name}`,
  host: `${name}.shop.dc1.mesh.internal`,
});

const cases: readonly {
  readonly name: string;
  readonly report: Report;
  readonly said?: Said;
  readonly merge?: readonly string[];
  readonly want: ReportAnswer;
}[] = [
  { name: "a service that stands", report: parts("dc1", "orders"), want: readyOrders },
  { name: "a host", report: { name: "Orders.shop.dc1.mesh.internal." }, want: readyOrders },
  { name: "a service that is only known", report: parts("dc1", "stock"), want: pending("stock") },
  { name: "a legacy name of it", report: { name: "stock.l5.example.org" }, want: pending("stock") },
  { name: "an L5 sid", report: { name: "1001:2" }, want: pending("sid") },
  { name: "an L5 sid as DNS has it", report: { name: "1001.2.l5.example.org" }, want: pending("sid") },
  { name: "a service's own name", report: { name: "stock" }, want: pending("stock") },
  { name: "a service's namespace and name", report: { name: "shop/stock" }, want: pending("stock") },
  { name: "a key", report: { name: "dc1/shop/stock" }, want: pending("stock") },
  {
    name: "an alias as namespace and service",
    report: { registry: "dc1", namespace: "l5", service: "1001:2" },
    want: pending("sid"),
  },
  { name: "an alias with its namespace", report: { name: "l5/1001:2" }, want: pending("sid") },
  {
    name: "a sid that is a service's own name",
    report: { name: "64001:65536" },
    said: [service("64001:65536")],
    want: {
      state: "pending",
      service: "dc1/shop/64001:65536",
      host: "64001-65536-7e3a100aa7ca638c.shop.dc1.mesh.internal",
    },
  },
  {
    name: "an alias of another registry",
    report: { registry: "dc2", namespace: "l5", service: "1001:2" },
    want: { state: "unknown", nearest: [] },
  },
  { name: "a member of a group", report: parts("dc2", "stock"), merge: ["dc1", "dc2"], want: pending("stock") },
  {
    name: "a name that two services have in their registry",
    report: { name: "1001:9" },
    said: ["a", "b"].map((name) => service(name, { aliases: [{ namespace: "l5", name: "1001:9" }] })),
    want: { state: "unknown", nearest: ["dc1/shop/a", "dc1/shop/b"] },
  },
  {
    name: "a service that an incomplete list does not have",
    report: parts("dc1", "new"),
    said: incomplete("dc1", services),
    want: { state: "unavailable", why: "registry dc1 cannot be read now: page 2 failed" },
  },
  {
    name: "a name while a registry's list is incomplete",
    report: { name: "new.example.org" },
    said: incomplete("dc1", services),
    want: { state: "unavailable", why: "registry dc1 cannot be read now: page 2 failed" },
  },
  {
    name: "a service that is only known while its registry is read in part",
    report: parts("dc1", "stock"),
    said: incomplete("dc1", services),
    want: { ...pending("stock"), why: "registry dc1 cannot be read now: page 2 failed" } as ReportAnswer,
  },
  {
    name: "a service whose own read failed",
    report: parts("dc1", "new"),
    said: [...services, failed("dc1/shop/new", "answered 503")],
    want: { state: "unavailable", why: "registry dc1 cannot be read now: answered 503" },
  },
  {
    name: "a slip of the pen",
    report: parts("dc1", "stok"),
    want: { state: "unknown", nearest: ["dc1/shop/stock"] },
  },
  {
    name: "a service of another namespace",
    report: { registry: "dc1", namespace: "prod", service: "stock" },
    want: { state: "unknown", nearest: ["dc1/shop/stock"] },
  },
  { name: "an unknown registry", report: parts("dc3", "stock"), want: { state: "unknown", nearest: ["dc1", "dc2"] } },
  {
    name: "an unknown name",
    report: { name: "stock.l5.example.com" },
    want: { state: "unknown", nearest: ["stock.l5.example.org"] },
  },
  {
    name: "a service of a registry that cannot be read",
    report: parts("dc1", "new"),
    said: "GET /v1 answered 503",
    want: { state: "unavailable", why: "registry dc1 cannot be read now: GET /v1 answered 503" },
  },
  {
    name: "a name while a registry cannot be read",
    report: { name: "new.example.org" },
    said: "GET /v1 answered 503",
    want: { state: "unavailable", why: "registry dc1 cannot be read now: GET /v1 answered 503" },
  },
];
for (const { name, report: asked, want, ...how } of cases)
  test(`reportHandler() answers ${name}`, async () => {
    const { report, demand } = handler(how);
    assert.deepEqual(await report([asked]), [want]);
    const known = want.state === "ready" || want.state === "pending" ? [want.service] : [];
    assert.deepEqual([...demand.demands().keys()], known);
  });

test("reportHandler() reads the registry anew before it says that it does not know, once for a batch", async () => {
  let decision = decided([]);
  const looks: (string | undefined)[] = [];
  const demand = createDemand();
  const { report } = reportHandler({
    ...{ table: () => table, latest: () => decision, demand, nowMs: () => NOW_MS, merge: () => [], waitMs: () => 0 },
    async look(registry) {
      looks.push(registry);
      decision = decided([service("stock")]);
    },
  });
  const ask = (...reports: readonly Report[]) => report(reports, "web", new AbortController().signal);
  const answers = await ask(parts("dc1", "stock"), parts("dc1", "stock"), parts("dc1", "nobody"));
  assert.deepEqual(
    answers.map(({ state }) => state),
    ["pending", "pending", "unknown"],
  );
  await ask(parts("dc1", "stock"));
  await ask({ name: "nobody.example.org" }, parts("dc2", "x"));
  assert.deepEqual(looks, ["dc1", undefined], "what is known is not looked for");
});

test("reportHandler() answers from what it knows where a registry cannot be read anew", async () => {
  const { report } = reportHandler({
    ...{ table: () => table, latest: () => decided([]), demand: createDemand(), nowMs: () => NOW_MS },
    ...{ merge: () => [], waitMs: () => 0, look: async () => Promise.reject(new Error("too long")) },
  });
  const [answer] = await report([parts("dc1", "stock")], "web", new AbortController().signal);
  assert.equal(answer?.state, "unknown");
});

test("a look has the registry read once in two seconds, and waits for a read that began after it", async () => {
  let nowMs = 0;
  const { due, ended, look } = createLooks(() => nowMs);
  const signal = AbortSignal.timeout(10_000);
  const state = { isDone: false };
  const first = look(signal).then(() => {
    state.isDone = true;
  });
  assert.equal(due.version(), 1);
  ended(0); // one that had begun before
  await turnOfLoop();
  assert.equal(state.isDone, false);
  const second = look(signal);
  assert.equal(due.version(), 1, "the second waits with the first");
  ended(1);
  await Promise.all([first, second]);
  nowMs = 1999;
  await look(signal);
  assert.equal(due.version(), 1);
  nowMs = 2000;
  const aborted = new AbortController();
  const third = look(aborted.signal);
  assert.equal(due.version(), 2);
  aborted.abort(new Error("too long"));
  await assert.rejects(third, /too long/);
});

test("reportHandler() says why a service may not come", async () => {
  const [answer] = await handler().report([parts("dc1", "taken")]);
  assert.equal(answer?.state, "unavailable");
});

test("reportHandler() does not wait for a caller that is gone", async () => {
  const { report } = handler({ waitMs: 200 });
  const turn = new Promise((resolve) => setImmediate(resolve, "it waits"));
  const answered = await Promise.race([report([parts("dc1", "stock")], AbortSignal.abort()), turn]);
  assert.deepEqual(answered, [pending("stock")]);
});

test("reportHandler() answers as soon as the VIP has settled, and not before", async () => {
  const { report, setTable, table } = handler({ settledAtMs: Date.now() + 1e6 });
  const first = await report([parts("dc1", "orders")]);
  assert.equal(first[0]?.state, "pending");
  const late = report([parts("dc1", "orders")]);
  setTable({ ...table, names: new Map([...table.names].map(([name, row]) => [name, { ...row, settledAtMs: 0 }])) });
  assert.deepEqual(await late, [readyOrders]);
});

test("reportHandler() creates nothing and keeps nothing for a storm of unknown names", async () => {
  const { report, demand } = handler();
  for (let n = 0; n < 200; n++)
    await report(Array.from({ length: 100 }, (_, at) => ({ name: `nobody-${n}-${at}.example.org` })));
  assert.equal(demand.demands().size, 0);
});

test("editsBetween() is the distance of Levenshtein up to its limit", () => {
  const slow = (a: string, b: string): number => {
    if (a === "" || b === "") return a.length + b.length;
    const rest = slow(a.slice(1), b.slice(1)) + (a[0] === b[0] ? 0 : 1);
    return Math.min(rest, slow(a.slice(1), b) + 1, slow(a, b.slice(1)) + 1);
  };
  const text = fc.string({ maxLength: 5, unit: fc.constantFrom("a", "b", "c") });
  fc.assert(
    fc.property(text, text, fc.integer({ min: 0, max: 4 }), (a, b, limit) => {
      const edits = slow(a, b);
      const found = editsBetween(a, b, limit);
      assert.ok(edits <= limit ? found === edits : found > limit, `${a} ${b}: ${found}, not ${edits}`);
    }),
  );
});

test("nearestNames() gives the nearest first, few, and none that is another name", () => {
  const names = ["orders", "order", "orders2", "ordres", "stock", "or"];
  assert.deepEqual(nearestNames("orderz", names), ["order", "orders"]);
  assert.deepEqual(nearestNames("payments", names), []);
  const many = Array.from({ length: 200_000 }, (_, n) => `service-${n}.shop.dc1.mesh.internal`);
  assert.ok(nearestNames("service-x1.shop.dc1.mesh.internal", many).length <= 3);
});
