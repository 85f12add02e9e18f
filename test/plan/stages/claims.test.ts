import assert from "node:assert/strict";
import { test } from "node:test";
import type { AllowRule, Claim } from "../../../src/model/claim.ts";
import { countClaims, mayClaim } from "../../../src/plan/stages/claims.ts";
import { claimOf, KEY } from "../moving.ts";

const allow = (fields: Partial<AllowRule> = {}): AllowRule => ({
  ...{ registry: "dc1", namespace: "*", service: "*", by: ["shop"] },
  ...fields,
});

const cases: readonly { name: string; rules: readonly AllowRule[]; claim?: Partial<Claim>; may: boolean }[] = [
  { name: "where nothing is allowed", rules: [], may: false },
  { name: "where its namespace may claim the registry", rules: [allow()], may: true },
  { name: "of another registry", rules: [allow({ registry: "prod" })], may: false },
  { name: "of a registry whose name begins alike", rules: [allow({ registry: "dc" })], may: false },
  { name: "of another namespace of the registry", rules: [allow({ namespace: "pay*" })], may: false },
  { name: "of its namespace of the registry", rules: [allow({ namespace: "sh*" })], may: true },
  { name: "of another service", rules: [allow({ service: "stock" })], may: false },
  { name: "of its service", rules: [allow({ service: "ord*" })], may: true },
  { name: "by another namespace", rules: [allow({ by: ["edge", "shop-*"] })], may: false },
  { name: "by the second of two namespaces", rules: [allow({ by: ["edge", "shop"] })], may: true },
  { name: "by the second of two rules", rules: [allow({ registry: "prod" }), allow()], may: true },
  {
    name: "that two rules allow only together",
    rules: [allow({ by: ["edge"] }), allow({ service: "stock" })],
    may: false,
  },
  { name: "of the configuration", rules: [], claim: { source: "configuration" }, may: true },
];
for (const { name, rules, claim, may } of cases)
  test(`mayClaim() lets a claim ${name} ${may ? "count" : "not count"}`, () =>
    assert.equal(mayClaim(claimOf(claim), KEY, rules), may));

test("mayClaim() counts no claim of what is no service", () =>
  assert.equal(mayClaim(claimOf(), "dc1", [allow()]), false));

test("countClaims() sorts claims by who makes them, whatever the order of the watch", () => {
  const all = [claimOf({}, "b"), claimOf({}, "a"), claimOf({ namespace: "apps" }, "c")];
  const rules = { allow: [allow({ by: ["*"] })] };
  for (const list of [all, all.toReversed()]) {
    const { byService, holds } = countClaims(list, rules, new Set(["dc1"]));
    assert.deepEqual(
      byService.get(KEY)?.map(({ name }) => name),
      ["c", "a", "b"],
    );
    assert.deepEqual(holds, []);
  }
});

test("countClaims() holds what is not allowed, by registries that are configured alone", () => {
  const claims = [
    claimOf({ service: "nowhere/shop/orders" }, "a"),
    claimOf({}, "b"),
    claimOf({ service: undefined, problems: ["x", "y"] }, "c"),
  ];
  const { byService, holds } = countClaims(claims, { allow: [] }, new Set(["dc1"]));
  assert.equal(byService.size, 0);
  assert.deepEqual(
    holds.map(({ reason, subject, service, registry }) => [reason, subject, service, registry]),
    [
      ["stage", "Service/shop/a", "nowhere/shop/orders", ""],
      ["stage", "Service/shop/b", KEY, "dc1"],
      ["stage", "Service/shop/c", undefined, ""],
    ],
  );
  assert.equal(holds[2]?.message, "Service shop/c: x; y");
});
