import assert from "node:assert/strict";
import { test } from "node:test";
import { skippedBy, skippedLines, whySkipped } from "../../../src/cli/print/skipped.ts";
import type { SkippedName } from "../../../src/model/adapter.ts";
import type { Reading } from "../../../src/plan/catalog/catalog.ts";

const LONG = "x".repeat(276);
const skippedNames: SkippedName[] = [
  { namespace: "default", name: "consul", why: "infrastructure" },
  { namespace: "default", name: "Legacy-Web", why: "filter" },
  { namespace: "shop", name: "web", why: "kubernetes" },
  { namespace: "default", name: LONG, why: "filter" },
  { namespace: "default", name: "a\u0007b", why: "filter" },
];
const snapshot = { registry: "dc1", services: [], revision: "1", skippedNames };
const readings = new Map<string, Reading>([
  ["dc1", { state: "read", snapshot }],
  ["dc2", { state: "failed", why: "no" }],
]);

for (const [text, names] of [
  ["consul", ["consul"]],
  ["legacy-web", ["Legacy-Web"]],
  ["default/legacy-web", ["Legacy-Web"]],
  ["dc1/shop/web", ["web"]],
  ["dc2/shop/web", []],
  [LONG, [LONG]],
  ["a\u0007b", ["a\u0007b"]],
  ["nobody", []],
] as const)
  test(`skippedBy() ${JSON.stringify(text).slice(0, 30)}`, () => {
    const found = skippedBy(text, readings);
    assert.deepEqual(
      found.map(({ name }) => name),
      names,
    );
  });

test("whySkipped() says it by kind, and of a name that nothing can have what is wrong with it", () => {
  const [consul, legacy, web, long, odd] = skippedNames.map(whySkipped);
  assert.match(consul ?? "", /^it is the registry's own, or a proxy/);
  assert.match(legacy ?? "", /^the registry's own options leave it out \(services\.include/);
  assert.match(web ?? "", /^all its instances come from Kubernetes/);
  assert.equal(long, "its name has 276 characters, 253 are allowed");
  assert.match(odd ?? "", /control characters/);
});

test("skippedLines() names each, none of them too long", () => {
  const lines = skippedLines(readings);
  assert.equal(lines.length, skippedNames.length);
  assert.match(lines[0] ?? "", /^skipped dc1\/default\/consul +it is the registry's own/);
  assert.ok(lines.every((line) => line.length < 300 && !line.includes("\u0007")));
});
