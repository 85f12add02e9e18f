import assert from "node:assert/strict";
import { test } from "node:test";
import { entryEndpoints } from "../../../src/plan/objects/entry-endpoints.ts";
import { endpoint, service } from "../build.ts";

const PORTS = [{ name: "http-web", number: 8080, protocol: "HTTP" }];
const addressesOf = (list: ReturnType<typeof entryEndpoints>) =>
  list.map(({ address }) => Number(address.split(".")[3]));
const listed = (...last: number[]) => last.map((n) => endpoint(`192.0.2.${n}`));

test("entryEndpoints() sorts endpoints, those of a merged service by where they came from", () => {
  assert.deepEqual(addressesOf(entryEndpoints(service("orders", { endpoints: listed(3, 1, 2) }), PORTS)), [1, 2, 3]);
  const provenance = [
    { registry: "dc1", count: 3 },
    { registry: "dc1+prod", count: 2 },
    { registry: "prod", count: 1 },
  ];
  const merged = { ...service("orders", { endpoints: listed(9, 7, 8, 5, 4, 1) }), provenance };
  assert.deepEqual(addressesOf(entryEndpoints(merged, PORTS)), [7, 8, 9, 4, 5, 1]);
});

test("entryEndpoints() sorts endpoints of one address by their ports", () => {
  const at = (web: number) => endpoint("192.0.2.1", { ports: { web } });
  const made = (...endpoints: ReturnType<typeof at>[]) => entryEndpoints(service("orders", { endpoints }), PORTS);
  assert.deepEqual(made(at(2), at(1)), made(at(1), at(2)));
  assert.deepEqual(made(at(2), at(1))[0]?.ports, { "http-web": 1 });
});

for (const [fields, locality] of [
  [{}, undefined],
  [{ region: "eu" }, "eu"],
  [{ region: "eu", zone: "a" }, "eu/a"],
  [{ region: "eu", zone: "a", subzone: "r1" }, "eu/a/r1"],
  [{ region: "eu", subzone: "r1" }, "eu"],
  [{ zone: "a", subzone: "r1" }, undefined],
] as const)
  test(`entryEndpoints() has locality ${locality} of ${JSON.stringify(fields)}`, () => {
    const endpoints = [endpoint("192.0.2.1", fields)];
    assert.equal(entryEndpoints(service("orders", { endpoints }), PORTS)[0]?.locality, locality);
  });
