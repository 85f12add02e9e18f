import assert from "node:assert/strict";
import { test } from "node:test";
import { placeInNetworks } from "../../../src/plan/catalog/networks.ts";
import { endpoint, failed, service, snapshot } from "../build.ts";

const ENDPOINTS = [
  endpoint("192.0.2.1", { region: "dc1" }),
  endpoint("192.0.2.2", { region: "dc2" }),
  endpoint("192.0.2.3"),
  endpoint("192.0.2.4", { region: "dc1", network: "own" }),
];

for (const [networks, want] of [
  [{ "*": "vm" }, ["vm", "vm", "vm", "own"]],
  [{ dc1: "one", "*": "vm" }, ["one", "vm", "vm", "own"]],
  [{ dc1: "one" }, ["one", undefined, undefined, "own"]],
] as const)
  test(`placeInNetworks() of ${JSON.stringify(networks)} says where endpoints are`, () => {
    const [read] = placeInNetworks(networks)(snapshot("dc1", [service("a", { endpoints: ENDPOINTS })])).services;
    assert.deepEqual(read?.state === "ok" && read.service.endpoints.map(({ network }) => network), want);
  });

test("placeInNetworks() gives the same object for the same service, and leaves what it does not change", () => {
  const [a, b] = [service("a"), service("b", { endpoints: [] })];
  const place = placeInNetworks({ "*": "vm" });
  const all = () =>
    place(snapshot("dc1", [a, b, failed("dc1/shop/c")])).services.map((one) =>
      one.state === "ok" ? one.service : one.key,
    );
  const [first, second] = [all(), all()];
  assert.ok(first.every((one, at) => one === second[at]));
  assert.equal(first[1], b);
});
