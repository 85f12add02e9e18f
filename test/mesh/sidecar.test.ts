import assert from "node:assert/strict";
import { test } from "node:test";
import { type FileService, httpService } from "../e2e/estate.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

/** Two HTTP ports and a TCP one; its second machine has the first port under another number. */
const orders: FileService = {
  namespace: "shop",
  name: "orders",
  ports: [
    { name: "http", number: 8080, protocol: "http" },
    { name: "admin", number: 9000, protocol: "http" },
    { name: "mysql", number: 3306, protocol: "tcp" },
  ],
  endpoints: [{ address: "192.0.2.11" }, { address: "192.0.2.12", ports: { http: 18_080 } }],
  legacyNames: ["orders.corp.example.com"],
};
/** On a port that orders has, too. */
const stock: FileService = {
  ...httpService("stock"),
  endpoints: [
    { address: "192.0.2.21", weight: 75 },
    { address: "192.0.2.22", weight: 25 },
  ],
};
const users: FileService = {
  namespace: "shop",
  name: "users",
  ports: [{ name: "mysql", number: 3306, protocol: "tcp" }],
  endpoints: [{ address: "198.51.100.31" }],
  legacyNames: ["users.corp.example.com"],
};

test("a sidecar leads every name of a service to its endpoints", { skip }, async (t) => {
  const mesh = await startMesh(t, { services: [orders, stock, users] });
  await mesh.backends(
    { protocol: "http", who: "orders-1", address: "192.0.2.11", port: 8080 },
    { protocol: "http", who: "orders-2", address: "192.0.2.12", port: 18_080 },
    { protocol: "http", who: "orders-admin", address: "192.0.2.11", port: 9000 },
    { protocol: "http", who: "orders-admin", address: "192.0.2.12", port: 9000 },
    { protocol: "http", who: "stock-75", address: "192.0.2.21", port: 8080 },
    { protocol: "http", who: "stock-25", address: "192.0.2.22", port: 8080 },
    { protocol: "tcp", who: "orders-mysql", address: "192.0.2.11", port: 3306 },
    { protocol: "tcp", who: "orders-mysql", address: "192.0.2.12", port: 3306 },
    { protocol: "tcp", who: "users-mysql", address: "198.51.100.31", port: 3306 },
  );
  const [web, vip, stockVip, usersVip] = await Promise.all([
    mesh.withSidecar("web"),
    mesh.vip(orders),
    mesh.vip(stock),
    mesh.vip(users),
  ]);
  const whoOf = async (url: string, host?: string) =>
    Object.keys(await web.tally({ kind: "http", url, count: 40, ...(host !== undefined && { host }) })).sort();
  await mesh.becomes(["orders-1", "orders-2"], () => whoOf(`http://${vip}:8080`));

  for (const host of [
    "orders.shop.vms.mesh.internal",
    "ORDERS.shop.vms.mesh.internal:8080",
    "orders",
    "orders.shop",
    "orders.shop.svc.cluster.local",
    "orders.shop.svc.cluster.local:8080",
    vip,
    "orders.corp.example.com",
    "orders.corp.example.com:8080",
  ])
    await t.test(`HTTP with Host ${host === vip ? "VIP" : host}`, async () => {
      assert.deepEqual(await whoOf(`http://${vip}:8080`, host), ["orders-1", "orders-2"]);
      const admin = await whoOf(`http://${vip}:9000`, host.replace("8080", "9000"));
      assert.deepEqual(admin, ["orders-admin"], "the second HTTP port");
    });

  await t.test("HTTP of another service on the same port", async () => {
    for (const host of ["stock", "stock.corp.example.com", stockVip])
      assert.deepEqual(await whoOf(`http://${stockVip}:8080`, host), ["stock-25", "stock-75"]);
  });

  await t.test("weights", async () => {
    // One call at a time: the default policy weighs by calls in flight, too.
    const tally = await web.tally({ kind: "http", url: `http://${stockVip}:8080`, count: 2000 });
    const percent = (tally["stock-75"] ?? 0) / 20;
    assert.ok(Math.abs(percent - 75) <= 5, `${percent} % instead of 75 %: ${JSON.stringify(tally)}`);
  });

  await t.test("TCP by VIP, of two services on the same port", async () => {
    assert.equal(await web.tcp(vip, 3306), "orders-mysql");
    assert.equal(await web.tcp(usersVip, 3306), "users-mysql");
  });

  // A pod asks with search domains and ndots:5: the cluster's DNS, which has the aliases and leaves our zones to x2istio.
  for (const [name, address, who] of [
    ["orders", vip, "orders-mysql"],
    ["orders.shop", vip, "orders-mysql"],
    ["orders.shop.svc.cluster.local", vip, "orders-mysql"],
    ["orders.shop.vms.mesh.internal", vip, "orders-mysql"],
    ["orders.shop.vms.mesh.internal.", vip, "orders-mysql"],
    ["orders.corp.example.com", vip, "orders-mysql"],
    ["users", usersVip, "users-mysql"],
    ["users.corp.example.com", usersVip, "users-mysql"],
  ] as const)
    await t.test(`from the name ${name} in a pod to the endpoint`, async () => {
      assert.equal(await web.lookUp(name), address);
      assert.match(await web.lookUp(name, 6), /ENOTFOUND|ENODATA|EAI_/, "no AAAA");
      assert.equal(await web.tcp(name, 3306), who);
      if (address !== vip) return;
      assert.deepEqual(await whoOf(`http://${name}:8080`), ["orders-1", "orders-2"]);
      assert.deepEqual(await whoOf(`http://${name}:9000`), ["orders-admin"]);
    });

  await t.test("names that are nobody's", async () => {
    for (const name of ["nobody.shop.vms.mesh.internal", "nobody.corp.example.com"])
      assert.match(await web.lookUp(name), /ENOTFOUND/, name);
  });

  await t.test("emptied: refused at once, by one push of endpoints; refilled: back by another", async () => {
    await mesh.istiod.settled();
    const before = await mesh.istiod.pushes();
    await mesh.estate.setServices([{ ...orders, endpoints: [] }, stock, users]);
    await mesh.becomes("failed: 503 no healthy upstream", () => web.http(`http://${vip}:8080`));
    for (const host of ["orders", "orders.corp.example.com"])
      assert.equal(await web.http(`http://${vip}:8080`, { host }), "failed: 503 no healthy upstream");
    assert.match(await web.tcp(vip, 3306), /^failed: (?:closed without a word|read ECONNRESET)$/);
    assert.deepEqual(await whoOf(`http://${stockVip}:8080`), ["stock-25", "stock-75"]);
    assert.equal(await mesh.vip(orders), vip, "it keeps its VIP");

    await mesh.estate.setServices([orders, stock, users]);
    await mesh.becomes(["orders-1", "orders-2"], () => whoOf(`http://${vip}:8080`));
    assert.equal(await web.tcp(vip, 3306), "orders-mysql");
    await mesh.istiod.settled();
    const after = await mesh.istiod.pushes();
    const { eds = 0, ...others } = after;
    const { eds: edsBefore = 0, ...othersBefore } = before;
    assert.deepEqual(others, othersBefore, "nothing but endpoints was pushed");
    assert.equal(eds - edsBefore, 2);
  });
});
