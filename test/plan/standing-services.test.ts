import assert from "node:assert/strict";
import { test } from "node:test";
import { standingServices } from "../../src/plan/standing-services.ts";
import { alias, at, endpoint, entry, NOW_MS, premade, standing } from "./build.ts";

const INSIDE = { "x2istio.dev/effective-stage": "inside", "x2istio.dev/effective-claimant": "shop/orders-v2" };
const from = (text: string) => ({ annotations: { "x2istio.dev/endpoints-from": text } });
const objects = [
  entry("dc1/shop/whole"),
  entry("dc1/shop/empty", { endpoints: [], annotations: { "x2istio.dev/empty-since": at(NOW_MS) } }),
  entry("dc1/shop/gone", { endpoints: [], annotations: { "x2istio.dev/gone-since": at(NOW_MS) } }),
  entry("dc1/shop/inside", { annotations: INSIDE }),
  entry("dc1/shop/a", from("dc1=1")),
  entry("dc1/shop/b", from("prod=1")),
  entry("dc1/shop/c", from("dc1+prod=1")),
  entry("prod/shop/other"),
  alias("dc1/shop/pointless", "apps/pointless"),
];
const filled = [
  premade("dc1/shop/filled", "filled", { endpoints: [endpoint("192.0.2.1")] }),
  premade("dc1/shop/unfilled", "unfilled", { endpoints: [] }),
];
const of = (registry: string, group: readonly string[] = []) =>
  standingServices(standing({ objects, premade: filled }), registry, group);

for (const { registry, group, want } of [
  { registry: "dc1", group: [], want: "whole empty a b c filled" },
  { registry: "prod", group: [], want: "other" },
  { registry: "vms", group: [], want: "" },
  { registry: "dc1", group: ["dc1", "prod"], want: "whole empty a c filled" },
  { registry: "prod", group: ["dc1", "prod"], want: "whole empty b c filled" },
])
  test(`standingServices() of ${registry}${group.length > 0 ? " merged" : ""}: ${want || "none"}`, () => {
    const keys = want.split(" ").filter((name) => name !== "");
    assert.deepEqual(
      of(registry, group),
      keys.map((name) => `${registry}/shop/${name}`),
    );
  });
