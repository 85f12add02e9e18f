import assert from "node:assert/strict";
import { test } from "node:test";
import { decider } from "../at-once.ts";
import { foreign, NOW_MS, readings, service, standing } from "../build.ts";
import { config } from "../memory.ts";

const HOST = "orders.shop.dc1.mesh.internal";
const ALIAS = "orders.apps.svc.cluster.local";
const rule = { registry: "dc1", namespace: "shop", service: "orders", as: "orders", in: "apps" };

for (const { name, hosts, narrow = {}, want } of [
  { name: "names both where a team routes an alias by its own name", hosts: [ALIAS], want: 1 },
  {
    name: "names both where only some namespaces see it",
    hosts: [ALIAS],
    narrow: { isNarrow: true } as const,
    want: 1,
  },
  { name: "says nothing of a route that has the host, too", hosts: [ALIAS, HOST], want: 0 },
  { name: "says nothing of a route for another name", hosts: ["stock.apps.svc.cluster.local"], want: 0 },
])
  test(`decide() ${name}`, () => {
    const route = foreign("VirtualService", "apps/team", { hosts, ...narrow });
    const { plan } = decider(config(["dc1"], { aliases: [rule] }))({
      ...{ readings: readings({ dc1: [service()] }), standing: standing({ foreign: [route] }) },
      ...{ nowMs: NOW_MS, allowDeletes: new Set<string>() },
    });
    const said = plan.hold.filter(({ subject }) => subject === "apps/orders");
    assert.deepEqual(
      said.map(({ reason, service: of, regarding }) => [reason, of, regarding]),
      want === 0 ? [] : [["foreign", "dc1/shop/orders", "VirtualService/apps/team"]],
    );
    for (const { message } of said)
      assert.equal(
        message,
        `VirtualService apps/team, which is not ours, routes ${ALIAS}, which is an alias of ${HOST}: Istio routes by the host, so that it has no effect; its hosts must have ${HOST}`,
      );
    assert.ok(
      plan.create.some(({ object }) => object.key === "Service/apps/orders"),
      "the alias is made all the same",
    );
  });
