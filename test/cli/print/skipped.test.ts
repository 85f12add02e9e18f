import assert from "node:assert/strict";
import { test } from "node:test";
import { skippedBy, skippedLines } from "../../../src/cli/print/skipped.ts";
import type { SkippedService } from "../../../src/model/adapter.ts";
import type { Reading } from "../../../src/plan/catalog/catalog.ts";

const skippedServices: SkippedService[] = [
  { name: "default/consul", kind: "infrastructure", why: "it is Consul's own" },
  { name: "default/Legacy-Web", kind: "filter", why: "services.exclude" },
  { name: "shop/web", kind: "kubernetes", why: "all its instances are pods" },
  { name: "default/a?b", kind: "filter", why: "its name has control characters" },
  { name: `default/${"x".repeat(276)}`, kind: "filter", why: "its name has 276 characters" },
];
const snapshot = { registry: "dc1", services: [], revision: "1", skippedServices };
const readings = new Map<string, Reading>([
  ["dc1", { state: "read", snapshot }],
  ["dc2", { state: "failed", why: "no" }],
]);

for (const [text, at] of [
  ["consul", 0],
  ["legacy-web", 1],
  ["default/legacy-web", 1],
  ["dc1/shop/web", 2],
  ["dc2/shop/web", undefined],
  ["a\u0007b", 3],
  ["x".repeat(276), 4],
  ["nobody", undefined],
] as const)
  test(`skippedBy() ${JSON.stringify(text).slice(0, 30)}`, () => {
    const want = at === undefined ? [] : [skippedServices[at]?.why];
    assert.deepEqual(
      skippedBy(text, readings).map(({ why }) => why),
      want,
    );
  });

test("skippedLines() names once what several datacenters skip", () => {
  const twice = { ...snapshot, skippedServices: [...skippedServices, ...skippedServices] };
  const lines = skippedLines(new Map<string, Reading>([["dc1", { state: "read", snapshot: twice }]]));
  assert.equal(lines.length, skippedServices.length);
});

test("skippedLines() names each, none of them too long", () => {
  const lines = skippedLines(readings);
  assert.equal(lines.length, skippedServices.length);
  assert.match(lines[0] ?? "", /^skipped dc1\/default\/consul +it is Consul's own$/);
  assert.ok(lines.every((line) => line.length < 200));
});
