import assert from "node:assert/strict";
import { test } from "node:test";
import { unmatchedRules } from "../../../src/plan/catalog/unmatched-rules.ts";

const services = ["dc1/shop/orders", "dc1/shop/Stock", "dc1/web/cart", "vms/shop/orders"].map((key) => {
  const [registry = "", namespace = "", name = ""] = key.split("/");
  return { registry, namespace, name };
});
const rule = { registry: "dc1", namespace: "*", service: "*", as: "{service}", in: "shop" };

for (const [fields, want] of [
  [{}, undefined],
  [{ service: "ord*" }, undefined],
  [{ service: "stock" }, "matches no service of registry dc1: no name matches stock, but there is Stock"],
  [{ service: "ordres" }, "matches no service of registry dc1: no name matches ordres, but there is orders"],
  [{ namespace: "shpo" }, "matches no service of registry dc1: no namespace matches shpo, but there is shop"],
  [{ namespace: "web", service: "orders" }, "matches no service of registry dc1: no name matches orders"],
  [{ service: "o*", exclude: ["ord*"] }, "matches no service of registry dc1: all that it is for are excluded"],
  [{ registry: "empty" }, "matches no service of registry empty, which lists none"],
  [{ registry: "broken", service: "x" }, undefined],
] as const)
  test(`unmatchedRules() ${JSON.stringify(fields)}: ${want ?? "nothing"}`, () => {
    const rules = { merge: [], aliases: [{ ...rule, ...fields }], migration: { allow: [] } };
    const isComplete = (registry: string) => registry !== "broken";
    const found = unmatchedRules({ rules, services, isComplete });
    assert.deepEqual(
      found.map(({ path, message }) => [path, message]),
      want === undefined ? [] : [[["aliases", 0], want]],
    );
  });

test("unmatchedRules() compares names as the registry does", () => {
  const aliases = [
    { ...rule, service: "STOCK" },
    { ...rule, service: "st*", exclude: ["stock"] },
  ];
  const rules = { merge: [], aliases, migration: { allow: [] } };
  const found = (isCaseless: boolean) =>
    unmatchedRules({ rules, services, isComplete: () => true, isCaseless: () => isCaseless }).map(
      ({ path }) => path[1],
    );
  assert.deepEqual(found(true), [1]);
  assert.deepEqual(found(false), [0, 1]);
});

test("unmatchedRules() judges names that a registry is asked for without case, those of a merged one by the first", () => {
  const rules = { merge: ["dc1", "prod"], aliases: [], migration: { allow: [] } };
  const include = (registry: string, glob: string) => ({ registry, path: ["registries", 0, glob], glob });
  const includes = [
    include("dc1", "stock"),
    include("prod", "cart"),
    include("dc1", "nobody-*"),
    include("vms", "cart"),
  ];
  const found = unmatchedRules({ rules, services, isComplete: () => true, includes });
  assert.deepEqual(
    found.map(({ path }) => path.at(-1)),
    ["nobody-*", "cart"],
  );
});
