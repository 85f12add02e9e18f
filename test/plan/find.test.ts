import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../src/plan/decide.ts";
import { findServices } from "../../src/plan/find.ts";
import { alias, endpoint, entry, failed, NOW_MS, port, premade, readings, service, standing } from "./build.ts";
import { config } from "./memory.ts";

const settings = config(
  [
    { name: "dc1", legacyNames: ["{service}.old.example.org"] },
    { name: "prod", demand: "reported" },
  ],
  { vips: { ranges: ["240.241.0.0/20", "fd00:241::/64"] } },
);
const orders = service("orders", {
  ports: [port("web", 8080), port("db", 5432, "TCP", 15_432)],
  endpoints: [endpoint("192.0.2.1", { ports: { web: 9080 } }), endpoint("2001:db8::1")],
  leftOut: [{ address: "192.0.2.9:80", kind: "health", reason: "" }],
  aliases: [
    { namespace: "shop", name: "DEFAULT_GROUP@@orders", asked: true },
    { namespace: "old", name: "purchases" },
  ],
});
const decision = decide(settings, {
  readings: readings({
    dc1: [orders, service("64001:65536", { endpoints: [endpoint("192.0.2.2")] }), failed("dc1/shop/broken")],
    prod: [service("known", { registry: "prod" })],
  }),
  standing: standing({
    objects: [
      entry("dc1/shop/orders", {
        addresses: ["240.241.0.7", "fd00:241::7"],
        annotations: { "x2istio.dev/names": '[{"name":"orders.corp"}]' },
        object: { statusAddresses: ["240.240.0.9"] },
      }),
      alias("dc1/shop/orders", "apps/orders-alias"),
      entry("dc1/shop/gone", { host: "gone.example.org", addresses: ["240.241.0.8"] }),
    ],
    premade: [premade("dc1/shop/orders", "hand", { addresses: ["240.255.0.7"] })],
  }),
  ...{ nowMs: NOW_MS, allowDeletes: new Set<string>() },
});

const ORDERS = "dc1/shop/orders";
const cases: readonly (readonly [text: string, key: string | undefined, as?: string])[] = [
  ["dc1/shop/orders", ORDERS, "a service"],
  ["shop/orders", ORDERS, "the service name"],
  ["orders", ORDERS, "the service name"],
  ["Orders", ORDERS, "the service name"],
  ["orders.shop.dc1.mesh.internal", ORDERS, "the host"],
  ["Orders.Shop.dc1.mesh.internal.", ORDERS, "the host"],
  ["orders.old.example.org", ORDERS, "a legacy name"],
  ["ORDERS.old.example.org.", ORDERS, "a legacy name"],
  ["orders.corp", ORDERS, "a legacy name"],
  ["64001:65536.old.example.org", undefined],
  ["64001.65536.old.example.org", "dc1/shop/64001:65536", "a legacy name"],
  ["apps/orders-alias", ORDERS, "an alias"],
  ["orders-alias.apps", ORDERS, "an alias"],
  ["orders-alias.apps.svc", ORDERS, "an alias"],
  ["Orders-alias.apps.svc.cluster.local.", ORDERS, "an alias"],
  ["orders-alias.apps.svc.cluster", undefined],
  ["240.241.0.7", ORDERS, "the VIP"],
  ["fd00:241::7", ORDERS, "the VIP"],
  ["FD00:241:0::7", ORDERS, "the VIP"],
  ["240.240.0.9", ORDERS, "the VIP"],
  ["240.241.0.8", "dc1/shop/gone", "the VIP"],
  ["240.255.0.7", ORDERS, "a name on an entry written by hand"],
  ["dev.hand.polaris", ORDERS, "a name on an entry written by hand"],
  ["192.0.2.1:9080", ORDERS, "an endpoint"],
  ["192.0.2.1:15432", ORDERS, "an endpoint"],
  ["192.0.2.1:8080", undefined],
  ["[2001:db8::1]:8080", ORDERS, "an endpoint"],
  ["2001:db8::1", ORDERS, "an endpoint"],
  ["2001:DB8:0::1", ORDERS, "an endpoint"],
  ["192.0.2.9", ORDERS, "an endpoint"],
  ["192.0.2.9:80", ORDERS, "an endpoint"],
  ["known", "prod/shop/known", "the service name"],
  ["dc1/shop/broken", "dc1/shop/broken", "a service"],
  ["gone.example.org", "dc1/shop/gone", "the host"],
  ["DEFAULT_GROUP@@orders", ORDERS, "a name that its registry's clients ask for"],
  ["shop/DEFAULT_GROUP@@orders", ORDERS, "a name that its registry's clients ask for"],
  ["default_group@@orders.old.example.org", undefined], // it fills no template
  ["purchases.old.example.org", ORDERS, "a legacy name"],
  ["", undefined],
];
for (const [text, key, as] of cases)
  test(`findServices() finds ${key === undefined ? "nothing" : `${key} as ${as}`} by "${text}"`, () => {
    const found = findServices(text, decision, "cluster.local");
    const [first] = found.filter((one) => key === undefined || one.key === key);
    assert.deepEqual(first, key === undefined ? undefined : { key, as });
  });

test("findServices() finds all services that an address may mean", () => {
  const keys = findServices("192.0.2.1", decision, "cluster.local").map(({ key }) => key);
  assert.deepEqual(keys.toSorted(), ["dc1/shop/gone", ORDERS]);
});
