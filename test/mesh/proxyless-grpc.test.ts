import assert from "node:assert/strict";
import { test } from "node:test";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";
import type { Tally } from "./pod.ts";

const skip = await ownNetwork();

const CALLS = 2000;
/** The pod itself, where no DNS server is. */
const NOBODY = "127.0.0.1";

/** Every backend's share of the calls is within five percent of what it should be. */
function assertShares(tally: Tally, want: Readonly<Record<string, number>>): void {
  const total = Object.values(tally).reduce((sum, count) => sum + count, 0);
  const got = Object.fromEntries(Object.entries(tally).map(([who, count]) => [who, (100 * count) / total]));
  assert.deepEqual(Object.keys(got).sort(), Object.keys(want).sort(), JSON.stringify(tally));
  for (const [who, percent] of Object.entries(want))
    assert.ok(Math.abs((got[who] ?? 0) - percent) <= 5, `${who}: ${got[who]} % instead of ${percent} %`);
}

test("proxyless gRPC finds a service by xDS", { skip }, async (t) => {
  const example = await readExample("proxyless-grpc");
  const [orders, stock] = [serviceNamed(example, "orders"), serviceNamed(example, "stock")];
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(...example.services));
  const client = await mesh.withoutSidecar("client", { nameserver: NOBODY });
  const tally = (name: string, count = CALLS) =>
    client.tally({ kind: "grpc", target: `xds:///${name}:9090`, count, lanes: 8 });

  for (const name of [hostOf(orders), "orders.shop.svc.cluster.local", "orders.corp.example.com"])
    await t.test(`by ${name}`, async () => {
      assertShares(await tally(name, 400), { "orders/grpc@192.0.2.11": 50, "orders/grpc@192.0.2.12": 50 });
    });

  await t.test("without DNS: the client has none, and one of the names is not in any", async () => {
    for (const name of [hostOf(orders), "orders.shop.svc.cluster.local"])
      assert.match(await client.lookUp(name), /^failed: /, name);
    assert.match(await client.grpc("xds:///orders.old.example.org:9090"), /^orders/);
  });

  for (const name of [hostOf(stock), "stock.shop.svc.cluster.local", "stock.corp.example.com"])
    await t.test(`subsets by label, 90 to 10, by ${name}`, async () => {
      assertShares(await tally(name), { "stock/grpc@192.0.2.21": 90, "stock/grpc@192.0.2.22": 10 });
    });

  await t.test("weights of zones", async () => {
    const shares = { "zoned/grpc@198.51.100.11": 80, "zoned/grpc@198.51.100.12": 20 };
    assertShares(await tally(hostOf(serviceNamed(example, "zoned"))), shares);
  });

  await t.test("weights within a zone, which gRPC's round robin does not know", async () => {
    const shares = { "weighted/grpc@198.51.100.21": 50, "weighted/grpc@198.51.100.22": 50 };
    assertShares(await tally(hostOf(serviceNamed(example, "weighted"))), shares);
  });
});
