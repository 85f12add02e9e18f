import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { faultRow } from "../../faults/row.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { type Eureka, eurekaServers, startEureka } from "../../servers/eureka.ts";
import { addresses, failures, newRegistry, type Registry, read, readUntil, services } from "./registry.ts";

const skip = (await ensureServers(eurekaServers)) === undefined && noServers;

suite("a Eureka server of Spring Cloud", { skip }, () => {
  let server: Eureka;
  let registry: Registry;
  before(async () => {
    server = await startEureka();
    registry = newRegistry(server.address);
  });
  after(async () => {
    await registry.close();
    await server.stop();
  });

  test("is empty at first, which is no failure", async () => {
    const snapshot = await read(registry);
    assert.deepEqual(snapshot.services, []);
    assert.equal(snapshot.incomplete, undefined);
  });

  test("tells instances that register, change their state and go", async () => {
    let seen = await read(registry);
    const first = await server.register({ app: "orders-Lower", address: "192.0.2.1", fields: { metadata: {} } });
    const second = await server.register({ app: "orders-Lower", address: "192.0.2.2" });
    const isNow =
      (...wanted: readonly string[]) =>
      (snapshot: typeof seen) =>
        JSON.stringify(addresses(snapshot, "orders-lower")) === JSON.stringify(wanted);
    seen = await readUntil(registry, seen, isNow("192.0.2.1", "192.0.2.2"));
    assert.deepEqual(services(seen)["orders-lower"]?.ports, [
      { name: "http", number: 8080, protocol: "HTTP", observed: true },
    ]);

    await server.override("orders-Lower", second, "OUT_OF_SERVICE");
    seen = await readUntil(registry, seen, isNow("192.0.2.1"));
    assert.deepEqual(
      services(seen)["orders-lower"]?.leftOut.map(({ reason }) => reason),
      ["OUT_OF_SERVICE, by an override"],
    );
    await server.override("orders-Lower", second, undefined);
    await server.renew("orders-Lower", second);
    seen = await readUntil(registry, seen, isNow("192.0.2.1", "192.0.2.2"));

    await server.register({ app: "orders-Lower", address: "192.0.2.1", fields: { status: "DOWN" } });
    seen = await readUntil(registry, seen, isNow("192.0.2.2"));
    await server.deregister("orders-Lower", first);
    await server.deregister("orders-Lower", second);
    seen = await readUntil(registry, seen, (snapshot) => services(snapshot)["orders-lower"] === undefined);
    assert.equal(seen.incomplete, undefined);
  });

  test(
    faultRow({
      target: "Eureka",
      fault: "a real server is killed, and started again without what it knew",
      expect: "an empty list removes nothing, and a half one nothing either",
      peer: "slime",
    }),
    async () => {
      const before = await read(registry);
      for (const address of ["192.0.2.11", "192.0.2.12"]) await server.register({ app: "stock", address });
      const seen = await readUntil(registry, before, (snapshot) => addresses(snapshot, "stock")?.length === 2);
      await server.kill();
      await assert.rejects(read(registry), /no answer/);
      await assert.rejects(registry.waitForChange(seen.revision, AbortSignal.timeout(1500)));
      await server.start();
      const empty = await read(registry);
      assert.deepEqual(empty.services, []);
      assert.match(empty.incomplete ?? "", /what it lacks may come back/);
      await server.register({ app: "stock", address: "192.0.2.11" });
      const half = await readUntil(registry, empty, (snapshot) => snapshot.services.length === 1);
      assert.match(failures(half)["spring/default/stock"] ?? "", /lists 1 instances less/);
      await server.register({ app: "stock", address: "192.0.2.12" });
      const whole = await readUntil(
        registry,
        half,
        (snapshot) => failures(snapshot)["spring/default/stock"] === undefined,
      );
      assert.deepEqual(addresses(whole, "stock"), ["192.0.2.11", "192.0.2.12"]);
    },
  );
});
