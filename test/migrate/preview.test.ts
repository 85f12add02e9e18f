import assert from "node:assert/strict";
import { test } from "node:test";
import { changesBetween, previewClaim } from "../../src/migrate/preview.ts";
import type { Manifest } from "../../src/model/objects.ts";
import { ask, BETWEEN_MS, claimOf, HOST, INSIDE, KEY, moving } from "../plan/moving.ts";

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

for (const section of ["http", "tcp", "tls"] as const)
  test(`changesBetween() tells where a route of ${section} leads`, () => {
    const [rule] = route.kind === "VirtualService" ? (route.spec.http ?? []) : [];
    const match = [{ port: 8080, ...(section === "tls" ? { sniHosts: ["orders.example.org"] } : {}) }];
    const spec = { hosts: ["orders.example.org"], [section]: [{ match, route: rule?.route }] };
    const has = new Map([["VirtualService/shop/orders", { manifest: { ...route, spec } as Manifest }]]);
    assert.deepEqual(
      changesBetween(new Map(), has).map(({ what }) => what),
      ["90 % to orders.example.org, 10 % to orders-v2.shop.svc.cluster.local"],
    );
  });

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
          "x2istio.dev/effective-stage": "split",
          "x2istio.dev/effective-weight": "10",
          "x2istio.dev/effective-claimant": "shop/orders-v2",
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

test("previewClaim() foresees all passes of a step, whenever what stands was written, and shows no announcement", async () => {
  const move = moving();
  move.claim(ask("outside"));
  await move.settle();
  move.target.clockMs -= 2 * BETWEEN_MS - 100; // a moment after it was announced
  const { refused, changes, passes } = previewClaim(
    move.target.standing(),
    (standing) => move.decide(standing),
    KEY,
    claimOf(ask("inside")),
  );
  assert.deepEqual([refused, passes], [[], 2]);
  assert.deepEqual(
    changes.map(({ object, what }) => `${object.split("/")[0]} ${what}`),
    [
      `Service leads to ${HOST} → ${INSIDE}`,
      "ServiceEntry stage outside → inside",
      `VirtualService 100 % to ${INSIDE}`,
    ],
  );
});
