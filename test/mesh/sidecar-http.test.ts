import assert from "node:assert/strict";
import { test } from "node:test";
import { entries } from "../e2e/cluster.ts";
import { hostOf } from "../e2e/fixture.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

/** Someone's own rule for orders: it is served by stock. */
const routing = (...hosts: readonly string[]): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind: "VirtualService",
  metadata: { name: "orders", namespace: "shop" },
  spec: {
    hosts,
    http: [{ route: [{ destination: { host: "stock.shop.vms.mesh.internal", port: { number: 8080 } } }] }],
  },
});

test("a sidecar leads HTTP by every name of a service to its endpoints", { skip }, async (t) => {
  const example = await readExample("sidecar-http");
  const [orders, stock] = [serviceNamed(example, "orders"), serviceNamed(example, "stock")];
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(orders, stock));
  const [web, vip, stockVip] = await Promise.all([mesh.withSidecar("web"), mesh.vip(orders), mesh.vip(stock)]);
  const whoOf = async (url: string, host?: string) =>
    Object.keys(await web.tally({ kind: "http", url, count: 40, ...(host !== undefined && { host }) })).sort();
  const ofOrders = (port: string) => [`orders/${port}@192.0.2.11`, `orders/${port}@192.0.2.12`];
  const ofStock = ["stock/http@192.0.2.21", "stock/http@192.0.2.22"];
  await mesh.becomes(ofOrders("http"), () => whoOf(`http://${vip}:8080`));

  const names = [
    "orders.shop.vms.mesh.internal",
    "orders.shop.vms.mesh.internal.",
    "ORDERS.shop.vms.mesh.internal:8080",
    "orders",
    "orders.shop",
    "orders.shop.svc.cluster.local",
    "orders.shop.svc.cluster.local:8080",
    vip,
    "orders.corp.example.com",
    "orders.corp.example.com:8080",
  ];
  for (const host of names)
    await t.test(`HTTP with Host ${host === vip ? "VIP" : host}`, async () => {
      assert.deepEqual(await whoOf(`http://${vip}:8080`, host), ofOrders("http"));
      const second = host.replace("8080", "9000");
      assert.deepEqual(await whoOf(`http://${vip}:9000`, second), ofOrders("admin"), "the second HTTP port");
    });

  for (const name of [
    "orders",
    "orders.shop.svc.cluster.local",
    "orders.shop.vms.mesh.internal",
    "orders.corp.example.com",
  ])
    await t.test(`HTTP to ${name}, as the pod's DNS finds it`, async () => {
      await mesh.becomes(ofOrders("http"), () => whoOf(`http://${name}:8080`));
      assert.deepEqual(await whoOf(`http://${name}:9000`), ofOrders("admin"));
    });

  await t.test("one entry with one VIP, and one cluster for each port, whatever the service is called", async () => {
    assert.deepEqual([...(await entries(mesh.kube)).keys()].sort(), [hostOf(orders), hostOf(stock)]);
    assert.deepEqual((await mesh.entry(hostOf(orders))).addresses, [vip]);
    const { configs } = await web.envoy.configDump();
    const clusters = configs
      .flatMap((config) => config.dynamic_active_clusters ?? [])
      .map(({ cluster }) => cluster.name as string)
      .filter((name) => name.includes("orders"));
    assert.deepEqual(
      clusters.sort(),
      [3306, 8080, 9000].map((port) => `outbound|${port}||${hostOf(orders)}`),
    );
  });

  await t.test("TCP of a service that has HTTP ports, too", async () => {
    assert.match(await web.tcp(vip, 3306), /^orders\/mysql@/);
  });

  await t.test("another service on the same port", async () => {
    for (const host of ["stock", "stock.corp.example.com", stockVip])
      await mesh.becomes(ofStock, () => whoOf(`http://${stockVip}:8080`, host));
  });

  await t.test("gRPC, by each kind of name", async () => {
    for (const name of ["stock", "stock.shop.vms.mesh.internal", "stock.corp.example.com"])
      assert.match(await web.grpc(`dns:${name}:9090`), /^stock\/grpc@/, name);
  });

  await t.test("a name that no service has is not led anywhere, nor a legacy name with a dot at its end", async () => {
    for (const host of ["nobody.corp.example.com", "orders.corp.example.com."])
      assert.match(await web.http(`http://${vip}:8080`, { host }), /^failed: 50[23]/, host);
  });

  await t.test("weights", async () => {
    // One call at a time: the default policy weighs by calls in flight, too.
    const tally = await web.tally({ kind: "http", url: `http://${stockVip}:8080`, count: 2000 });
    const percent = (tally["stock/http@192.0.2.21"] ?? 0) / 20;
    assert.ok(Math.abs(percent - 75) <= 5, `${percent} % instead of 75 %: ${JSON.stringify(tally)}`);
  });

  await t.test("someone's VirtualService that comes later takes over once it has all hosts", async () => {
    const url = `http://${vip}:8080`;
    const [host, legacy] = ["orders.shop.vms.mesh.internal", "orders.corp.example.com"];
    await mesh.apply(routing(host));
    await mesh.istiod.settled();
    assert.deepEqual(await whoOf(url, host), ofOrders("http"), "Istio obeys the older one");
    await mesh.apply(routing(host, legacy));
    for (const name of [host, "orders", legacy]) await mesh.becomes(ofStock, () => whoOf(url, name));
    await mesh.remove(routing());
    for (const name of [host, "orders", legacy]) await mesh.becomes(ofOrders("http"), () => whoOf(url, name));
  });
});
