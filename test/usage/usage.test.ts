import assert from "node:assert/strict";
import { test } from "node:test";
import { finish } from "../../src/async/slices.ts";
import { reportCsv, reportLines } from "../../src/cli/print/usage.ts";
import { writeDemand } from "../../src/model/demand.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import { createUsage } from "../../src/usage/counting.ts";
import { type ServiceUseJson, servicesOfTable, type UsageJson, usageJson, useState } from "../../src/usage/json.ts";
import { mergeUsage, usageReport } from "../../src/usage/report.ts";

const HOST = "orders.shop.vms.mesh.internal";
const LEGACY = "orders.corp.example.com";
const NOW_MS = Date.parse("2026-11-21T12:00:00Z");
const DAY_MS = 86_400_000;

const row = (name: string, service: string, host: string) => ({
  ...{ name, host, service },
  ...{ a: ["240.241.0.7"], aaaa: [], settledAtMs: 0 },
});
const rows = [
  row(HOST, "vms/shop/orders", HOST),
  row(LEGACY, "vms/shop/orders", HOST),
  row("stock.shop.vms.mesh.internal", "vms/shop/stock", "stock.shop.vms.mesh.internal"),
];
const table: NameTable = { names: new Map(rows.map((one) => [one.name, one])), parents: new Set(), serial: 1 };
const asked = (name: string, count: number, client: string, view = "mesh") => ({ name, view, client, count });

function usage(mostNames?: number) {
  const counted: string[] = [];
  const made = createUsage({
    table: () => table,
    startedMs: NOW_MS - DAY_MS,
    onCount: ({ registry, kind, view, count }) => counted.push(`${registry} ${kind} ${view} ${count}`),
    ...(mostNames === undefined ? {} : { mostNames }),
  });
  return { ...made, counted };
}

const jsonOf = (made: ReturnType<typeof usage>, demands = new Map()) =>
  finish(usageJson({ services: servicesOfTable(table), usage: made, demands }));

test("createUsage() sums questions by name and view, and keeps the ten that asked last", () => {
  const made = usage();
  made.count([asked(LEGACY, 3, "192.0.2.1"), asked(LEGACY, 2, "198.51.100.1", "vms")], NOW_MS - 1000);
  made.count([asked(LEGACY, 1, "192.0.2.1"), asked(HOST, 5, "192.0.2.2")], NOW_MS);
  for (let n = 0; n < 20; n++) made.count([asked(LEGACY, 1, `203.0.113.${n}`)], NOW_MS);
  const use = made.of(LEGACY);
  assert.deepEqual(
    [...(use?.views ?? [])],
    [
      ["mesh", 24],
      ["vms", 2],
    ],
  );
  assert.equal(use?.clients.size, 10);
  assert.deepEqual([...(use?.clients ?? [])].at(-1), "203.0.113.19");
  assert.deepEqual(made.counted.slice(0, 4), [
    "vms legacy mesh 3",
    "vms legacy vms 2",
    "vms legacy mesh 1",
    "vms host mesh 5",
  ]);
});

test("createUsage() forgets the name that was not asked for the longest, and says since when it knows all", () => {
  const made = usage(2);
  made.count([asked("a", 1, "192.0.2.1")], NOW_MS - 3000);
  made.count([asked("b", 1, "192.0.2.1")], NOW_MS - 2000);
  made.count([asked("a", 1, "192.0.2.1")], NOW_MS - 1000);
  assert.equal(made.knownSinceMs(), NOW_MS - DAY_MS);
  made.count([asked("c", 1, "192.0.2.1")], NOW_MS);
  assert.deepEqual(
    ["a", "b", "c"].map((name) => made.of(name) !== undefined),
    [true, false, true],
  );
  assert.equal(made.knownSinceMs(), NOW_MS - 2000);
});

test("usageJson() tells who asks for a service by which name, and who reported it", () => {
  const made = usage();
  made.count([asked(LEGACY, 3, "192.0.2.1")], NOW_MS);
  const by = [
    { caller: "shop/web", via: "report", lastMs: NOW_MS - 5000 },
    { caller: "192.0.2.1", via: "dns", view: "mesh", lastMs: NOW_MS },
  ];
  const json = jsonOf(made, new Map([["vms/shop/stock", { lastMs: NOW_MS - 5000, by }]]));
  assert.equal(json.knownSince, "2026-11-20T12:00:00.000Z");
  assert.deepEqual(
    json.services.map(({ service, stage, lastAsked }) => [service, stage, lastAsked]),
    [
      ["vms/shop/orders", "outside", "2026-11-21T12:00:00.000Z"],
      ["vms/shop/stock", "outside", "2026-11-21T11:59:55.000Z"],
    ],
  );
  assert.deepEqual(json.services[0]?.names, [
    { name: HOST, kind: "host", questions: 0, lastAsked: null, views: {}, clients: [] },
    {
      ...{ name: LEGACY, kind: "legacy", questions: 3, lastAsked: "2026-11-21T12:00:00.000Z" },
      ...{ views: { mesh: 3 }, clients: ["192.0.2.1"] },
    },
  ]);
  assert.deepEqual(json.services[1]?.reports, [{ caller: "shop/web", lastAsked: "2026-11-21T11:59:55.000Z" }]);
});

test("createUsage() keeps a client that asks again, and drops the one that did not for the longest", () => {
  const made = usage();
  const clients = () => [...(made.of(HOST)?.clients ?? [])];
  for (let n = 0; n < 10; n++) made.count([asked(HOST, 1, `192.0.2.${n}`)], NOW_MS);
  assert.equal(clients().length, 10);
  made.count([asked(HOST, 1, "192.0.2.0"), asked(HOST, 1, "192.0.2.99")], NOW_MS);
  assert.deepEqual(clients(), [...Array.from({ length: 8 }, (_, n) => `192.0.2.${n + 2}`), "192.0.2.0", "192.0.2.99"]);
  const [orders] = jsonOf(made).services;
  assert.deepEqual(orders?.names[0]?.clients.slice(0, 3), ["192.0.2.99", "192.0.2.0", "192.0.2.9"], "the last first");
});

test("createUsage() counts for no service what is none's, and remembers it", () => {
  const made = usage();
  made.count([asked("nobody.example.org", 2, "192.0.2.1")], NOW_MS);
  assert.deepEqual([made.counted, made.of("nobody.example.org")?.views.get("mesh")], [[], 2]);
});

test("usageJson() knows of an entry who asked before this process began, and where it stands", () => {
  const demand = writeDemand({ lastMs: NOW_MS - 5000, callers: ["shop/web"] });
  const annotations = {
    "x2istio.dev/demand": demand,
    "x2istio.dev/effective-stage": "split",
    "x2istio.dev/effective-claimant": "shop/orders-v2",
  };
  const services = [{ service: "vms/shop/orders", host: HOST, legacyNames: [LEGACY], annotations }];
  const jsonOf = (lastMs: number) => {
    const by = [{ caller: "shop/web", via: "report" as const, lastMs }];
    const demands = lastMs === 0 ? undefined : new Map([["vms/shop/orders", { lastMs, by }]]);
    return finish(usageJson({ services, usage: usage(), demands })).services[0];
  };
  const before = jsonOf(0);
  assert.deepEqual(
    [before?.lastAsked, before?.stage, before?.claimant, before?.reports],
    ["2026-11-21T11:59:55.000Z", "split", "shop/orders-v2", [{ caller: "shop/web", lastAsked: null }]],
  );
  assert.equal(jsonOf(NOW_MS - 9000)?.lastAsked, "2026-11-21T11:59:55.000Z", "the later of both");
  assert.equal(jsonOf(NOW_MS)?.lastAsked, "2026-11-21T12:00:00.000Z");
  assert.deepEqual(jsonOf(NOW_MS)?.reports, [{ caller: "shop/web", lastAsked: "2026-11-21T12:00:00.000Z" }]);
});

test("servicesOfTable() has each service with its host apart from its other names", () =>
  assert.deepEqual(
    servicesOfTable(table).map(({ service, host, legacyNames }) => [service, host, legacyNames]),
    [
      ["vms/shop/orders", HOST, [LEGACY]],
      ["vms/shop/stock", "stock.shop.vms.mesh.internal", []],
    ],
  ));

const told = (service: string, fields: Partial<ServiceUseJson> = {}): ServiceUseJson => ({
  ...{ service, host: HOST, stage: "outside", claimant: null, names: [], reports: [], lastAsked: null },
  ...fields,
});
const nameTold = (name: string, questions: number, kind: "host" | "legacy" = "legacy") => ({
  ...{ name, kind, questions, lastAsked: null, views: { mesh: questions }, clients: [`192.0.2.${questions}`] },
});
const T1 = "2026-11-21T10:00:00.000Z";
const T2 = "2026-11-21T11:00:00.000Z";

test("mergeUsage() has what only one replica knows, the later times, and no order of replicas", () => {
  const [one, two] = [
    {
      knownSince: T1,
      services: [
        told("vms/shop/b"),
        told("vms/shop/a", {
          ...{ names: [nameTold("n1", 1), nameTold("n2", 2)], reports: [{ caller: "x", lastAsked: T2 }] },
          lastAsked: T1,
        }),
      ],
    },
    {
      knownSince: T2,
      services: [
        told("vms/shop/a", {
          names: [nameTold("n2", 5), nameTold("n3", 3)],
          reports: ["x", "y"].map((caller) => ({ caller, lastAsked: T1 })),
          lastAsked: T2,
        }),
      ],
    },
  ];
  for (const list of [
    [one, two],
    [two, one],
  ]) {
    const { knownSince, services } = mergeUsage(list);
    assert.equal(knownSince, T2, "since the youngest began");
    assert.deepEqual(
      services.map(({ service, lastAsked }) => [service, lastAsked]),
      [
        ["vms/shop/a", T2],
        ["vms/shop/b", null],
      ],
    );
    const names = services[0]?.names.map(({ name, questions, views, clients }) => [
      name,
      questions,
      views,
      clients.length,
    ]);
    assert.deepEqual(names?.toSorted(), [
      ["n1", 1, { mesh: 1 }, 1],
      ["n2", 7, { mesh: 7 }, 2],
      ["n3", 3, { mesh: 3 }, 1],
    ]);
    assert.deepEqual(
      new Map(services[0]?.reports.map((each) => [each.caller, each.lastAsked])),
      new Map([
        ["x", T2],
        ["y", T1],
      ]),
    );
  }
});

test("usageReport() sorts by who asks, by stage and by silence, each at its boundary", () => {
  const ago = (ms: number) => new Date(NOW_MS - ms).toISOString();
  const services = [
    told("a", { lastAsked: ago(DAY_MS), names: [nameTold("n", 0)] }),
    told("b", { lastAsked: ago(DAY_MS - 1), names: [nameTold("n", 1)], stage: "split" }),
    told("c", { reports: [{ caller: "x", lastAsked: null }], stage: "inside" }),
    told("d", { names: [nameTold("n", 9, "host")], stage: "retired", lastAsked: ago(0) }),
  ];
  const report = usageReport({ knownSince: T1, services }, { idleMs: DAY_MS, nowMs: NOW_MS });
  const keys = (list: readonly ServiceUseJson[]) => list.map(({ service }) => service).join("");
  assert.deepEqual([keys(report.legacy), keys(report.notMoved), keys(report.idle)], ["bc", "ab", "ac"]);
});

test("useState() tells callers by legacy names from others, of the last day", () => {
  const name = (kind: "host" | "legacy", ago: number) => ({
    ...{ name: "x", kind, questions: 1, views: {}, clients: [] },
    lastAsked: new Date(NOW_MS - ago).toISOString(),
  });
  const of = (names: readonly ReturnType<typeof name>[]) =>
    useState(
      {
        names,
        lastAsked:
          names
            .map((one) => one.lastAsked)
            .sort()
            .at(-1) ?? null,
      },
      NOW_MS,
    );
  assert.equal(of([name("host", 0), name("legacy", 0)]), "legacy");
  assert.equal(of([name("host", 0), name("legacy", 2 * DAY_MS)]), "host");
  assert.equal(of([name("legacy", 2 * DAY_MS)]), "none");
  assert.equal(of([name("legacy", DAY_MS)]), "none", "a day ago is no more within the last day");
  assert.equal(of([name("legacy", DAY_MS - 1)]), "legacy");
  assert.equal(of([]), "none");
});

const one = usage();
one.count([asked(LEGACY, 3, "192.0.2.1"), asked(HOST, 1, "192.0.2.3")], NOW_MS - 14_000);
const other = usage();
other.count([asked(LEGACY, 2, "198.51.100.1", "vms")], NOW_MS - 3000);
const replicas: readonly UsageJson[] = [jsonOf(one), jsonOf(other)];

test("mergeUsage() sums what replicas tell, and trusts silence only since the youngest of them began", () => {
  const [first, second] = replicas;
  assert.ok(first !== undefined && second !== undefined);
  const merged = mergeUsage([first, { ...second, knownSince: "2026-11-21T11:00:00.000Z" }]);
  assert.equal(merged.knownSince, "2026-11-21T11:00:00.000Z");
  const [orders] = merged.services;
  assert.equal(orders?.lastAsked, "2026-11-21T11:59:57.000Z");
  assert.deepEqual(
    orders?.names.map(({ name, questions, views, clients }) => [name, questions, views, clients]),
    [
      [HOST, 1, { mesh: 1 }, ["192.0.2.3"]],
      [LEGACY, 5, { mesh: 3, vms: 2 }, ["192.0.2.1", "198.51.100.1"]],
    ],
  );
});

test("reportLines() shows callers by legacy names, what is not moved and what nobody asks for", () => {
  const report = usageReport(mergeUsage(replicas), { idleMs: 30 * DAY_MS, nowMs: NOW_MS });
  assert.deepEqual(
    reportLines(report, NOW_MS, (_, text) => text),
    [
      "Called by a legacy name or a report",
      "  orders.corp.example.com    vms/shop/orders    outside    5 questions (mesh 3, vms 2)    last 3 s ago    from 192.0.2.1, 198.51.100.1",
      "",
      "Not yet moved",
      "  vms/shop/orders    outside    nobody claims it",
      "  vms/shop/stock     outside    nobody claims it",
      "",
      "Nobody asked for in the 24 h that questions were counted",
      "  vms/shop/stock    outside    stock.shop.vms.mesh.internal",
      "",
      "2 services: 1 called by a legacy name, 2 not yet moved, 1 that nobody asks for. Questions are counted since 2026-11-20 12:00 UTC.",
    ],
  );
});

test("reportCsv() has a line for each name and view, and quotes what callers say of themselves", () => {
  const [first] = replicas;
  assert.ok(first !== undefined);
  const [orders, stock] = first.services;
  assert.ok(orders !== undefined && stock !== undefined);
  const said = { ...stock, reports: [{ caller: '=HYPERLINK("x")', lastAsked: null }] };
  const report = usageReport(
    { ...first, services: [orders, said, { ...stock, service: "vms/shop/none" }] },
    {
      idleMs: 0,
      nowMs: NOW_MS,
    },
  );
  assert.deepEqual(reportCsv(report), [
    "service,stage,claimant,kind,name,view,questions,last_asked,from",
    `vms/shop/orders,outside,,host,${HOST},mesh,1,2026-11-21T11:59:46.000Z,192.0.2.3`,
    `vms/shop/orders,outside,,legacy,${LEGACY},mesh,3,2026-11-21T11:59:46.000Z,192.0.2.1`,
    `vms/shop/stock,outside,,report,,,,,"'=HYPERLINK(""x"")"`,
    "vms/shop/none,outside,,none,,,0,,",
  ]);
});
