import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAllowDeletes, parseAllowDeletes, parseLease } from "../../../src/kube/lease/lease-record.ts";

test("parseAllowDeletes() reads what formatAllowDeletes() wrote", () => {
  const mark = { registries: ["dc1", "prod"], atMs: Date.UTC(2026, 0, 1) };
  assert.equal(formatAllowDeletes(mark), "dc1,prod@2026-01-01T00:00:00.000Z");
  assert.deepEqual(parseAllowDeletes(formatAllowDeletes(mark)), mark);
});

for (const text of [undefined, "", "dc1", "@2026-01-01T00:00:00Z", "dc1@soon"]) {
  test(`parseAllowDeletes() finds none in ${JSON.stringify(text)}`, () =>
    assert.equal(parseAllowDeletes(text), undefined));
}

test("parseLease() reads a Lease without a spec as free", () => {
  assert.equal(parseLease({ metadata: { name: "x" } }).holder, "");
});
