import assert from "node:assert/strict";
import { test } from "node:test";
import { acknowledged, outdatedAt } from "../../src/cli/istiod-state.ts";
import { annotationsFor, ownersOf } from "../../src/cli/migrate-step.ts";
import { moveRows, orderMoves } from "../../src/cli/move-order.ts";
import { type Move, stageText } from "../../src/cli/moves.ts";
import { preconditionsOf } from "../../src/cli/preconditions.ts";
import { changesBetween } from "../../src/cli/stage-preview.ts";
import { progressOf } from "../../src/cli/stage-watch.ts";
import type { Claim, Stage } from "../../src/model/claim.ts";
import type { Manifest } from "../../src/model/objects.ts";

const claim: Claim = {
  ...{ namespace: "shop", name: "orders-v2", service: "vms/shop/orders", source: "annotation" },
  ...{ stage: "outside", weight: 0, request: "", sni: undefined, live: undefined, problems: [] },
};

function move(name: string, fields: Partial<Move> = {}): Move {
  return {
    ...{ service: `vms/shop/${name}`, host: `${name}.shop.vms.mesh.internal`, stage: "outside", weight: 0 },
    ...{
      claimants: [{ namespace: "shop", name: `${name}-v2` }],
      claim,
      decision: undefined,
      blockers: [],
      callers: [],
    },
    ...fields,
  };
}

const blocked = { kind: "endpoints", message: "shop/stock-v2 has no ready endpoint: start one" } as const;

test("orderMoves() puts what is on its way first, then what could go by its number of callers", () => {
  const ordered = orderMoves([
    move("retired", { stage: "retired", weight: 100 }),
    move("unclaimed", { claimants: [], claim: undefined }),
    move("blocked", { blockers: [blocked] }),
    move("many", { callers: ["192.0.2.1", "192.0.2.2"] }),
    move("few", { callers: ["192.0.2.1"] }),
    move("half", { stage: "split", weight: 50 }),
    move("whole", { stage: "split", weight: 100 }),
  ]);
  assert.deepEqual(
    ordered.map(({ move: { service }, state, next }) => [service, state, next]),
    [
      ["vms/shop/half", "moving", "x2istio migrate split vms/shop/half --weight 100"],
      ["vms/shop/whole", "moving", "x2istio migrate move vms/shop/whole"],
      ["vms/shop/few", "ready", "x2istio migrate split vms/shop/few --weight 10"],
      ["vms/shop/many", "ready", "x2istio migrate split vms/shop/many --weight 10"],
      ["vms/shop/blocked", "blocked", blocked.message],
      [
        "vms/shop/unclaimed",
        "unclaimed",
        "no Service says that it replaces vms/shop/unclaimed: annotate the one that does with x2istio.io/replaces: vms/shop/unclaimed, in a namespace that migration.allow lets claim it",
      ],
      ["vms/shop/retired", "done", "it is retired"],
    ],
  );
});

test("moveRows() shows stage, weight, claimants and blockers", () => {
  assert.deepEqual(
    moveRows([move("stock", { stage: "split", weight: 10, blockers: [blocked], callers: ["a"] })]).slice(1),
    [["vms/shop/stock", "1", "split 10 %", "shop/stock-v2", blocked.message]],
  );
  assert.deepEqual(moveRows([move("stock", { claimants: [] })])[1]?.[3], "nobody");
});

test("preconditionsOf() has all that a move needs, and what is missing with what to do", () => {
  const all = preconditionsOf(move("stock", { blockers: [blocked] }));
  assert.deepEqual(
    all.filter(({ met }) => !met).map(({ kind, message }) => [kind, message]),
    [["endpoints", blocked.message]],
  );
  const kinds = all.map(({ kind }) => kind);
  for (const kind of [
    "claim",
    "allow",
    "second",
    "ports",
    "endpoints",
    "route",
    "export",
    "sidecar",
    "strict",
    "ambient",
    "sni",
  ])
    assert.ok(
      kinds.some((one) => one === kind),
      kind,
    );
  assert.ok(preconditionsOf(move("stock")).every(({ met }) => met));
  const [none, ...more] = preconditionsOf(move("stock", { claimants: [], claim: undefined }));
  assert.deepEqual([none?.kind, none?.met, more.length], ["claim", false, 0]);
  const refused = { kind: "allow", message: "no" } as const;
  const shown = preconditionsOf(move("stock", { claim: undefined, blockers: [refused] }));
  assert.deepEqual(
    shown.map(({ kind, met }) => [kind, met]),
    [
      ["claim", true],
      ["allow", false],
    ],
    "of a Service that may not claim it nothing else is known",
  );
  const late = { kind: "stepped-back", message: "it stepped back" } as const;
  assert.deepEqual(preconditionsOf(move("stock", { blockers: [late] }))[1], { ...late, met: false });
});

test("annotationsFor() sets a weight only at split", () => {
  assert.deepEqual(annotationsFor({ stage: "split", weight: 10 }, "r"), {
    "x2istio.io/stage": "split",
    "x2istio.io/weight": "10",
    "x2istio.io/request": "r",
  });
  assert.deepEqual(annotationsFor({ stage: "inside", weight: 100 }, "r"), {
    "x2istio.io/stage": "inside",
    "x2istio.io/request": "r",
  });
});

for (const [message, want] of [
  ['Apply failed with 1 conflict: conflict with "argocd-controller": .metadata.annotations', "argocd-controller"],
  ['2 conflicts: conflicts with "b": x\nconflicts with "a" using v1: y', "a and b"],
  ["Operation cannot be fulfilled", "someone else"],
] as const)
  test(`ownersOf() finds ${want}`, () => assert.equal(ownersOf(message), want));

const asked = {
  service: "vms/shop/orders",
  want: { stage: "split", weight: 50 },
  request: "split 50 shop/orders-v2 r",
} as const;
const at = (stage: Stage, weight: number, steppedBackFrom?: string) => ({
  ...{ stage, weight, steppedBackFrom },
  claimant: undefined,
});
for (const [standing, want] of [
  [at("outside", 0), "under way"],
  [at("split", 10), "under way"],
  [at("split", 50), "effective"],
  [at("split", 50, "an older request"), "effective"],
  [at("outside", 0, "split 50 shop/orders-v2 r"), "stepped back"],
] as const)
  test(`progressOf() of ${stageText(standing)}${standing.steppedBackFrom === undefined ? "" : ` after "${standing.steppedBackFrom}"`} is ${want}`, () =>
    assert.equal(progressOf(standing, asked).state, want));

const metadata = { name: "orders", namespace: "shop" };
const entry = (annotations: Readonly<Record<string, string>>): Manifest => ({
  ...{ apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { ...metadata, annotations } },
  spec: { hosts: ["orders.example.org"], ports: [], location: "MESH_INTERNAL", resolution: "STATIC", endpoints: [] },
});
const alias = (externalName: string): Manifest => ({
  ...{ apiVersion: "v1", kind: "Service", metadata },
  spec: { type: "ExternalName", externalName, ports: [] },
});
const route: Manifest = {
  ...{ apiVersion: "networking.istio.io/v1", kind: "VirtualService", metadata },
  spec: {
    hosts: ["orders.example.org"],
    http: [
      {
        match: [{ port: 8080 }],
        route: [
          { destination: { host: "orders.example.org", port: { number: 8080 } }, weight: 90 },
          { destination: { host: "orders-v2.shop.svc.cluster.local", port: { number: 8080 } }, weight: 10 },
        ],
      },
    ],
  },
};

test("changesBetween() tells in words what a step does to each object", () => {
  const had = new Map([
    ["ServiceEntry/shop/orders", { manifest: entry({}) }],
    ["Service/shop/orders", { manifest: alias("orders.example.org") }],
    ["Service/shop/same", { manifest: alias("orders.example.org") }],
  ]);
  const has = new Map([
    [
      "ServiceEntry/shop/orders",
      {
        manifest: entry({
          "x2istio.io/effective-stage": "split",
          "x2istio.io/effective-weight": "10",
          "x2istio.io/effective-claimant": "shop/orders-v2",
        }),
      },
    ],
    ["Service/shop/orders", { manifest: alias("orders-v2.shop.svc.cluster.local") }],
    ["Service/shop/same", { manifest: alias("orders.example.org") }],
    ["VirtualService/shop/orders", { manifest: route }],
  ]);
  assert.deepEqual(changesBetween(had, has), [
    {
      object: "Service/shop/orders",
      action: "update",
      what: "leads to orders.example.org → orders-v2.shop.svc.cluster.local",
    },
    { object: "ServiceEntry/shop/orders", action: "update", what: "stage outside → split 10 %" },
    {
      object: "VirtualService/shop/orders",
      action: "create",
      what: "90 % to orders.example.org, 10 % to orders-v2.shop.svc.cluster.local",
    },
  ]);
  assert.deepEqual(
    changesBetween(has, had).map(({ action }) => action),
    ["update", "update", "delete"],
  );
});

test("outdatedAt() names what istiod has another version of, and acknowledged() counts proxies that are up to date", () => {
  const versions = new Map([
    ["ServiceEntry/shop/orders", "5"],
    ["VirtualService/shop/orders", "7"],
    ["Service/shop/orders", "9"],
  ]);
  const known = (kind: string, resourceVersion: string) => ({
    kind,
    metadata: { namespace: "shop", name: "orders", resourceVersion },
  });
  assert.deepEqual(outdatedAt([known("ServiceEntry", "5"), known("VirtualService", "6")], versions), [
    "VirtualService/shop/orders",
  ]);
  assert.deepEqual(outdatedAt([known("ServiceEntry", "5"), known("VirtualService", "7")], versions), []);
  assert.equal(acknowledged([{ route_sent: "a", route_acked: "a" }, { route_sent: "a", route_acked: "b" }, {}]), 2);
});
