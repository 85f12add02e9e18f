import assert from "node:assert/strict";
import { test } from "node:test";
import type { ForeignObject } from "../../../src/model/standing.ts";
import { planMemory } from "../../../src/plan/memory.ts";
import { foreignHolder, foreignNames } from "../../../src/plan/names/foreign-names.ts";
import { foreign, NOW_MS, standing } from "../build.ts";

const HOST = "orders.shop.svc.cluster.local";

function namesOf(...objects: readonly ForeignObject[]) {
  return foreignNames(standing({ foreign: objects }), planMemory());
}

function holderIn(clusterDomain: string) {
  const stands = standing({ foreign: [foreign("Service", "shop/orders")] });
  const holder = foreignHolder(stands, foreignNames(stands, planMemory()), clusterDomain);
  return (host: string) => holder(host)?.name;
}

for (const order of ["narrow first", "narrow last"] as const)
  test(`foreignNames() tells a route that every namespace sees from one that some see, ${order}`, () => {
    const narrow = foreign("VirtualService", "edge/narrow", { hosts: [HOST], isNarrow: true });
    const wide = foreign("VirtualService", "edge/wide", { hosts: [HOST] });
    const { routes } = namesOf(...(order === "narrow first" ? [narrow, wide] : [wide, narrow]));
    assert.equal(routes.wide.get(HOST), wide);
    assert.equal(routes.narrow.get(HOST), narrow);
    assert.equal(namesOf(narrow).routes.wide.has(HOST), false);
  });

for (const order of ["older first", "older last"] as const)
  test(`foreignNames() knows of several for one host the one that Istio uses, ${order}`, () => {
    const older = foreign("VirtualService", "z/a", { hosts: [HOST], createdMs: NOW_MS - 2 });
    const younger = foreign("VirtualService", "a/a", { hosts: [HOST], createdMs: NOW_MS - 1 });
    const all = order === "older first" ? [older, younger] : [younger, older];
    assert.equal(namesOf(...all).routes.wide.get(HOST), older);
    // Of one age: by name, then by namespace.
    const [b, a] = [
      foreign("VirtualService", "a/b", { hosts: [HOST] }),
      foreign("VirtualService", "b/a", { hosts: [HOST] }),
    ];
    assert.equal(namesOf(...(order === "older first" ? [a, b] : [b, a])).routes.wide.get(HOST), a);
  });

test("foreignNames() knows routes of both kinds apart from entries and Services", () => {
  const of = (kind: string) => namesOf(foreign(kind, "edge/x", { hosts: [HOST] }));
  const kinds = ["VirtualService", "HTTPRoute", "ServiceEntry", "Service"];
  assert.deepEqual(
    kinds.map((kind) => of(kind).routes.wide.has(HOST)),
    [true, true, false, false],
  );
  assert.deepEqual(
    kinds.map((kind) => of(kind).entries.wide.has(HOST)),
    [false, false, true, false],
  );
  assert.deepEqual(
    kinds.map((kind) => of(kind).services.has("x")),
    [false, false, false, true],
  );
});

test("foreignNames() knows a route whose hosts are in upper case, all of them", () => {
  const hosts = ["Orders.shop.svc.cluster.LOCAL", "ORDERS.old.example.org"];
  const { wide } = namesOf(foreign("VirtualService", "edge/x", { hosts })).routes;
  assert.deepEqual(wide.get(HOST)?.hosts, [HOST, "orders.old.example.org"]);
  assert.equal(wide.get(HOST), wide.get("orders.old.example.org"));
});

test("foreignNames() are found once for as long as nothing of others changes", () => {
  const memory = planMemory();
  const route = foreign("VirtualService", "edge/x", { hosts: [HOST] });
  const first = foreignNames(standing({ foreign: [route] }), memory);
  assert.equal(foreignNames(standing({ foreign: [route] }), memory), first);
  const changed = foreignNames(standing({ foreign: [{ ...route, hosts: [] }] }), memory);
  assert.equal(changed.routes.wide.has(HOST), false);
  assert.equal(foreignNames(standing(), memory).routes.wide.size, 0);
});

test("foreignHolder() knows a Service by its full name in the cluster's domain alone", () => {
  const holder = holderIn("cluster.local");
  assert.equal(holder(HOST), "orders");
  for (const other of [
    "x.orders.shop.svc.cluster.local",
    "orders.shop.x.svc.cluster.local",
    "orders.shop",
    "orders.web.svc.cluster.local",
  ])
    assert.equal(holder(other), undefined, other);
  const corp = holderIn("corp.example.org");
  assert.equal(corp("orders.shop.svc.corp.example.org"), "orders");
  assert.equal(corp(HOST), undefined);
});
