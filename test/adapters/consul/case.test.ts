import assert from "node:assert/strict";
import { test } from "node:test";
import { addresses, read, readUntil, registryAt, services, skip, started } from "./registry.ts";

const of = (service: string, address: string) => ({ service, id: address, address, port: 80 });

test("names that differ in case only are one service, as for Consul", { skip }, async (t) => {
  const server = await started(t);
  await server.register(of("Cache", "192.0.2.1"));
  const registry = registryAt(t, server.address);
  const first = await read(registry);
  assert.equal(first.caseless, true);
  assert.deepEqual(addresses(first, "Cache"), ["192.0.2.1"]);

  await server.register(of("cache", "192.0.2.2"));
  const both = await readUntil(registry, first, (now) => addresses(now, "cache")?.length === 2);
  assert.deepEqual(Object.keys(services(both)), ["cache"]);
  assert.deepEqual(addresses(both, "cache"), ["192.0.2.1", "192.0.2.2"]);

  await server.deregister({ id: "192.0.2.2" });
  // The spelling may be seen before the endpoints.
  const back = await readUntil(registry, both, (now) => addresses(now, "Cache")?.length === 1);
  assert.deepEqual(Object.keys(services(back)), ["Cache"]);
  assert.deepEqual(addresses(back, "Cache"), ["192.0.2.1"]);
});

test("what is wanted is told without case, and CONSUL is no service either", { skip }, async (t) => {
  const server = await started(t);
  await server.register(of("Cache", "192.0.2.1"), of("cACHe-Canary", "192.0.2.2"), of("CONSUL", "192.0.2.3"));
  await server.register(of("web", "192.0.2.4"));
  const filters = { services: { include: ["CACHE*"], exclude: ["*-canary"] } };
  const snapshot = await read(registryAt(t, server.address, filters));
  assert.deepEqual(Object.keys(services(snapshot)), ["Cache"]);
  assert.deepEqual(snapshot.skipped, { filter: 2, infrastructure: 2 });
  const all = await read(registryAt(t, server.address));
  assert.deepEqual(Object.keys(services(all)).sort(), ["Cache", "cACHe-Canary", "web"]);
});
