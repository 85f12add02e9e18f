import assert from "node:assert/strict";
import { test } from "node:test";
import { dnsQuery } from "../e2e/dns.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

test("a sidecar leads TCP by VIP, and so by every name that gives one", { skip }, async (t) => {
  const example = await readExample("sidecar-tcp");
  const [orders, users] = [serviceNamed(example, "orders-db"), serviceNamed(example, "users-db")];
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(orders, users));
  const [web, ordersVip, usersVip] = await Promise.all([mesh.withSidecar("web"), mesh.vip(orders), mesh.vip(users)]);

  await t.test("two services on one port, each by its VIP", async () => {
    assert.notEqual(ordersVip, usersVip);
    await mesh.becomes("orders-db/mysql@192.0.2.11", () => web.tcp(ordersVip, 3306));
    await mesh.becomes("users-db/mysql@192.0.2.21", () => web.tcp(usersVip, 3306));
    await mesh.becomes("users-db/admin@192.0.2.21", () => web.tcp(usersVip, 33_062));
  });

  for (const [name, vip, who] of [
    ["orders-db", ordersVip, "orders-db/mysql@192.0.2.11"],
    ["orders-db.shop.vms.mesh.internal", ordersVip, "orders-db/mysql@192.0.2.11"],
    ["db1.corp.example.com", ordersVip, "orders-db/mysql@192.0.2.11"],
    ["users-db", usersVip, "users-db/mysql@192.0.2.21"],
    ["db2.corp.example.com", usersVip, "users-db/mysql@192.0.2.21"],
  ] as const)
    await t.test(`by ${name}`, async () => {
      await mesh.becomes(vip, () => web.lookUp(name));
      assert.equal(await web.tcp(name, 3306), who);
    });

  await t.test("an L5 sid, as our DNS answers it", async () => {
    const { addresses } = await dnsQuery(mesh.replica.dns, "64001.65536");
    assert.deepEqual(addresses, [ordersVip]);
  });

  await t.test("a port that the service does not have is not led anywhere", async () => {
    assert.match(await web.tcp(ordersVip, 33_062), /^failed: /);
  });
});
