import assert from "node:assert/strict";
import { test } from "node:test";
import { finish } from "../../src/async/slices.ts";
import type { Standing } from "../../src/model/standing.ts";
import { decide, decideInSlices } from "../../src/plan/decide.ts";
import type { DecisionInput } from "../../src/plan/decision.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { decidePartly } from "../../src/plan/partial.ts";
import {
  endpoints,
  entry,
  foreign,
  ledgerBlock,
  NOW_MS,
  readings,
  type Said,
  service,
  standing,
  standingObject,
} from "./build.ts";
import { config, memoryTarget } from "./memory.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const BLOCK = "x2istio-vips-240-241-0-0";
const input = (said: Said, stands: Standing, more: Partial<DecisionInput> = {}): DecisionInput => ({
  ...{ readings: readings({ dc1: said }), standing: stands, nowMs: NOW_MS },
  ...{ allowDeletes: new Set() },
  ...more,
});
const small = { vips: { ranges: ["240.241.0.0/28"] } };
const used = ledgerBlock(BLOCK, { "240-241-0-9": `${HOST} east used` });

/** What becomes of the VIP 240.241.0.9, which the ledger has for the host. */
function lineOf(said: Said, stands: Parameters<typeof standing>[0]): string {
  const { ledger } = decide(config(["dc1"], small), input(said, standing({ ...stands, ledger: [used] })));
  const line = ledger?.lines.get("240.241.0.9");
  return `${line?.host} ${line?.restingSinceMs === undefined ? "used" : "resting"}`;
}

const stood = entry("dc1/shop/orders", { addresses: ["240.241.0.9"] });
const cases: readonly { name: string; said: Said; stands: Parameters<typeof standing>[0]; want: string }[] = [
  { name: "of a service that stands and is listed", said: [service()], stands: { objects: [stood] }, want: "used" },
  { name: "of a service that stands and is not listed", said: [], stands: { objects: [stood] }, want: "used" },
  { name: "of a registry that cannot be read", said: "refused", stands: { objects: [stood] }, want: "used" },
  {
    name: "of an entry of which nobody can tell the service any more",
    said: [],
    stands: { objects: [{ ...stood, service: undefined }] },
    want: "used",
  },
  { name: "of a service that does not stand yet", said: [service()], stands: {}, want: "used" },
  { name: "of a service that is neither listed nor stands", said: [], stands: {}, want: "resting" },
  {
    name: "of a service whose host someone else has now",
    said: [service()],
    stands: { objects: [stood], foreign: [foreign("ServiceEntry", "web/x", { hosts: [HOST] })] },
    want: "used",
  },
];
for (const { name, said, stands, want } of cases)
  test(`decide() has the VIP ${name} ${want}`, () => assert.equal(lineOf(said, stands), `${HOST} ${want}`));

test("decide() gives an entry of which nobody can tell the service no other's VIP", () => {
  const nameless = { ...entry("dc1/shop/orders", { addresses: [] }), service: undefined };
  const { ledger } = decide(config(["dc1"], small), input([], standing({ objects: [nameless] })));
  assert.equal(ledger?.vips.size, 0, "nor a new one where it has none");
});

test("decide() gives no VIP to services that nobody asks for, and holds nothing of them", () => {
  const rest = { ...small, hosts: { template: "{service}.mesh.internal" } };
  const exposures = [{ name: "stock", service: "dc1/shop/stock", gateway: "edge/public", listen: 80 }];
  const settings = config([{ name: "dc1", demand: "reported" }], { ...rest, exposures });
  const said = ["a", "b", "stock"].flatMap((name) => [service(name), service(name, { namespace: "web" })]);
  const asked = new Map([
    ["dc1/shop/a", { lastMs: NOW_MS, by: [{ caller: "web", via: "report" as const, lastMs: NOW_MS }] }],
    ["dc1/web/a", { lastMs: NOW_MS, by: [{ caller: "web", via: "report" as const, lastMs: NOW_MS }] }],
  ]);
  const { ledger, plan, undemanded } = decide(settings, input(said, standing(), { asked }));
  assert.deepEqual([...(ledger?.vips.keys() ?? [])].toSorted(), ["a.mesh.internal", "stock.mesh.internal"]);
  assert.deepEqual(
    plan.hold.map(({ service: key }) => key),
    ["dc1/web/a"],
    "the host belongs to another: of those that are asked for that is said",
  );
  assert.deepEqual([...undemanded.keys()].toSorted(), ["dc1/shop/b", "dc1/web/b", "dc1/web/stock"]);
});

test("no partial decision follows one on everything that was broken off", () => {
  const settings = config(["dc1"]);
  const memory = planMemory();
  const now = input([service()], standing({ objects: [entry("dc1/shop/orders", { addresses: ["240.241.0.9"] })] }));
  for (let pass = 0; pass < 2; pass++) decide(settings, now, memory);
  decideInSlices(settings, now, memory).next();
  assert.equal(decidePartly(settings, now, new Set(), memory), undefined);
});

test("what stands may change while everything is decided in slices", () => {
  const settings = config(["dc1"], small);
  const live = standing({ objects: [stood] });
  const said = input([service()], live);
  const want = decide(settings, said).plan;
  const slices = decideInSlices(settings, said, planMemory());
  slices.next();
  (live.objects as Map<string, unknown>).clear();
  (live.foreign as Map<string, unknown>).set("ServiceEntry/web/x", foreign("ServiceEntry", "web/x", { hosts: [HOST] }));
  assert.deepEqual(finish(slices).plan, want);
});

test("a partial decision sees what changed in readings that are a live view", () => {
  const settings = config(["dc1"]);
  const memory = planMemory();
  const [before] = readings({ dc1: [service()] }).values();
  const [after] = readings({ dc1: [service("orders", { endpoints: endpoints(2) })] }).values();
  assert.ok(before !== undefined && after !== undefined);
  const live = new Map([["dc1", before]]);
  const target = memoryTarget();
  const now = () => input(undefined, target.standing(), { readings: live });
  const { plan } = decide(settings, now(), memory);
  for (const { object } of plan.create) target.objects.set(object.key, standingObject(object.manifest));
  decide(settings, now(), memory);
  live.set("dc1", after);
  assert.equal(decidePartly(settings, now(), new Set(), memory)?.decision.plan.update.length, 1);
});
