import assert from "node:assert/strict";
import { test } from "node:test";
import { adapterOf, poll, serverOf, services } from "./fixture.ts";

test("a namespace in other letters is said, with those that there are", async (t) => {
  const server = await serverOf(t);
  server.register({ namespace: "production", service: "orders", host: "192.0.2.1", port: 80 });
  const adapter = adapterOf(t, { address: server.address, namespaces: ["Production", "default"] });
  const { notes, incomplete, services: found } = await poll(adapter);
  assert.deepEqual([found.length, incomplete], [0, undefined]);
  assert.match(
    notes?.join() ?? "",
    /^no service is listed in namespace Production; namespaces with services are Polaris, production,/,
  );
  const before = server.requests.length;
  await poll(adapter);
  assert.equal(server.requests.length - before, 2, "the list of all is read once for the same empty namespaces");
  server.register({ namespace: "Production", service: "orders", host: "192.0.2.1", port: 80 });
  const after = await poll(adapter);
  assert.deepEqual(after.notes?.length, 1, "only default is still empty");
  assert.ok("Production/orders" in services(after));
});

test("a service whose instances become pods stays listed, and is counted among the skipped", async (t) => {
  const server = await serverOf(t);
  const id = server.register({ service: "orders", host: "192.0.2.1", port: 80 });
  const adapter = adapterOf(t, { address: server.address });
  assert.equal(services(await poll(adapter))["default/orders"]?.endpoints.length, 1);
  server.update(id, { metadata: { source: "polaris-controller", clusterName: "east" } });
  const { skipped, skippedServices, ...snapshot } = await poll(adapter);
  const { podsOnly, endpoints } = services(snapshot)["default/orders"] ?? assert.fail("it is not listed");
  assert.deepEqual([podsOnly, endpoints, skipped?.kubernetes], [true, [], 1]);
  assert.deepEqual(
    skippedServices?.map(({ name, kind }) => [name, kind]),
    [
      ["Polaris/polaris.checker", "infrastructure"],
      ["default/orders", "kubernetes"],
    ],
  );
});

test("a service with declared ports and no instance has these ports", async (t) => {
  const server = await serverOf(t);
  server.setService("default", "orders", { ports: "9090,8080" });
  const { declaredPorts, ports } =
    services(await poll(adapterOf(t, { address: server.address })))["default/orders"] ?? assert.fail();
  assert.deepEqual([ports, declaredPorts?.map(({ number }) => number)], [[], [8080, 9090]]);
});

test("a name that cannot be used is shown among the skipped", async (t) => {
  const server = await serverOf(t);
  const long = "x".repeat(276);
  for (const name of [long, "a\u0007b"]) server.setService("default", name);
  const { skipped, skippedServices = [] } = await poll(adapterOf(t, { address: server.address }));
  assert.equal(skipped?.name, 2);
  assert.deepEqual(
    skippedServices.map(({ name }) => name),
    ["Polaris/polaris.checker", "default/a?b", `default/${long}`],
  );
  assert.match(skippedServices[2]?.why ?? "", /this one has 276/);
});
