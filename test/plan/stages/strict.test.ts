import assert from "node:assert/strict";
import { test } from "node:test";
import type { PeerRule } from "../../../src/model/claim.ts";
import { strictRule } from "../../../src/plan/stages/strict.ts";

const rule = (namespace: string, mode: string | undefined, fields: Partial<PeerRule> = {}): PeerRule => ({
  ...{ namespace, name: `${namespace}-${mode}`, matchLabels: {}, mode, hasStrictPort: false },
  ...fields,
});
const app = { matchLabels: { app: "orders" } };

const cases: readonly { name: string; rules: readonly PeerRule[]; isStrict: boolean }[] = [
  { name: "no rule", rules: [], isStrict: false },
  { name: "STRICT for the namespace", rules: [rule("shop", "STRICT")], isStrict: true },
  { name: "PERMISSIVE for the namespace", rules: [rule("shop", "PERMISSIVE")], isStrict: false },
  { name: "STRICT for another namespace", rules: [rule("edge", "STRICT")], isStrict: false },
  { name: "STRICT for the mesh", rules: [rule("istio-system", "STRICT")], isStrict: true },
  {
    name: "STRICT for some workloads of istio-system",
    rules: [rule("istio-system", "STRICT", app)],
    isStrict: false,
  },
  {
    name: "STRICT for the mesh, PERMISSIVE for the namespace",
    rules: [rule("istio-system", "STRICT"), rule("shop", "PERMISSIVE")],
    isStrict: false,
  },
  {
    name: "PERMISSIVE for the mesh, STRICT for the namespace",
    rules: [rule("istio-system", "PERMISSIVE"), rule("shop", "STRICT")],
    isStrict: true,
  },
  {
    name: "STRICT for the mesh, UNSET for the namespace",
    rules: [rule("shop", "UNSET"), rule("istio-system", "STRICT")],
    isStrict: true,
  },
  {
    name: "STRICT for the mesh, no mode for the namespace",
    rules: [rule("shop", undefined), rule("istio-system", "STRICT")],
    isStrict: true,
  },
  {
    name: "STRICT for the workloads, PERMISSIVE for the namespace",
    rules: [rule("shop", "PERMISSIVE"), rule("shop", "STRICT", app)],
    isStrict: true,
  },
  {
    name: "PERMISSIVE for the workloads, STRICT for the namespace",
    rules: [rule("shop", "STRICT"), rule("shop", "PERMISSIVE", app)],
    isStrict: false,
  },
  {
    name: "UNSET for the workloads, STRICT for the namespace",
    rules: [rule("shop", "STRICT"), rule("shop", "UNSET", app)],
    isStrict: true,
  },
  {
    name: "STRICT for other workloads",
    rules: [rule("shop", "STRICT", { matchLabels: { app: "stock" } })],
    isStrict: false,
  },
  {
    name: "STRICT for workloads by a label that is not known of them",
    rules: [rule("shop", "STRICT", { matchLabels: { tier: "back" } })],
    isStrict: true,
  },
  {
    name: "STRICT for workloads of which one label is another",
    rules: [rule("shop", "STRICT", { matchLabels: { tier: "back", app: "stock" } })],
    isStrict: false,
  },
  {
    name: "STRICT for a port of the workloads, which are PERMISSIVE",
    rules: [rule("shop", "PERMISSIVE", { ...app, hasStrictPort: true })],
    isStrict: true,
  },
  {
    name: "STRICT in the second of two rules for the workloads",
    rules: [rule("shop", "PERMISSIVE", app), rule("shop", "STRICT", { matchLabels: { tier: "back" } })],
    isStrict: true,
  },
  { name: "DISABLE", rules: [rule("shop", "DISABLE")], isStrict: false },
];
for (const { name, rules, isStrict } of cases)
  test(`strictRule() for ${name} is ${isStrict ? "one" : "none"}`, () =>
    assert.equal(strictRule(rules, "shop", { app: "orders" }) !== undefined, isStrict));
