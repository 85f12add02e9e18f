import assert from "node:assert/strict";
import { test } from "node:test";
import { namesOfAgent } from "./agent.ts";
import { backendsOf, readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const NAMES = [
  "orders",
  "orders.shop",
  "orders.shop.svc",
  "orders.shop.svc.cluster.local",
  "orders.shop.svc.cluster.local.",
  "orders.shop.vms.mesh.internal",
  "orders.shop.vms.mesh.internal.",
  "ORDERS.shop.vms.mesh.internal",
  "orders.corp.example.com",
  "orders.corp.example.com.",
];

// A pod asks with search domains and ndots:5: the cluster's DNS, which has the aliases and leaves our zones to x2istio.
test("a pod's DNS leads from every name to the VIP, and the VIP to the endpoint", { skip }, async (t) => {
  const example = await readExample("pod-dns");
  const [orders, users] = [serviceNamed(example, "orders"), serviceNamed(example, "users")];
  const mesh = await startMesh(t, example);
  await mesh.backends(...backendsOf(orders, users));
  const [web, captured, ordersVip, usersVip] = await Promise.all([
    mesh.withSidecar("web"),
    mesh.withSidecar("captured", { hasAgent: true }),
    mesh.vip(orders),
    mesh.vip(users),
  ]);

  await t.test("Istio's agent knows the hosts; aliases and legacy names it asks the cluster's DNS for", async () => {
    const known = async (name: string) => (await namesOfAgent(captured)).get(name);
    await mesh.becomes([ordersVip], () => known("orders.shop.vms.mesh.internal"));
    for (const name of ["orders.shop.svc.cluster.local", "orders.corp.example.com"])
      assert.equal(await known(name), undefined, name);
  });

  for (const [where, app] of Object.entries({ "a pod": web, "a pod with DNS capture": captured })) {
    for (const name of NAMES)
      await t.test(`from ${name}, in ${where}`, async () => {
        await mesh.becomes(ordersVip, () => app.lookUp(name));
        assert.match(await app.lookUp(name, 6), /ENOTFOUND|ENODATA|EAI_/, "no AAAA");
        assert.equal(await app.tcp(name, 3306), "orders/mysql@192.0.2.11");
        // A legacy name with a dot at its end is nobody's for a sidecar: see deploy/docs/mesh.md.
        if (!name.endsWith("com.")) assert.equal(await app.http(`http://${name}:8080`), "orders/http@192.0.2.11");
      });

    for (const name of ["users.data.vms.mesh.internal", "users.corp.example.com"])
      await t.test(`from ${name}, which has no alias, in ${where}`, async () => {
        await mesh.becomes(usersVip, () => app.lookUp(name));
        assert.equal(await app.tcp(name, 3306), "users/mysql@198.51.100.31");
      });

    for (const [service, vip] of [
      ["orders.shop", ordersVip],
      ["users.data", usersVip],
    ] as const)
      await t.test(`from the VIP of ${service} to its host, in ${where}`, async () => {
        await mesh.becomes(`${service}.vms.mesh.internal`, () => app.lookUp(vip));
      });

    for (const name of ["nobody.shop.vms.mesh.internal", "nobody.corp.example.com", "users", "users.data"])
      await t.test(`from ${name}, which nobody has, in ${where}`, async () => {
        assert.match(await app.lookUp(name), /ENOTFOUND/);
      });
  }

  await t.test("a service that is new is found although its name was asked for before", async () => {
    const late = { ...users, name: "late", legacyNames: ["late.corp.example.com"] };
    for (const app of [web, captured]) assert.match(await app.lookUp("late.corp.example.com"), /ENOTFOUND/);
    await mesh.fixture.setServices([...example.services, late]);
    const vip = await mesh.vip(late);
    for (const app of [web, captured]) await mesh.becomes(vip, () => app.lookUp("late.corp.example.com"));
  });
});
