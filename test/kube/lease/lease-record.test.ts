import assert from "node:assert/strict";
import { test } from "node:test";
import { formatMark, parseLease, parseMark } from "../../../src/kube/lease/lease-record.ts";

test("parseMark() reads what formatMark() wrote", () => {
  const mark = { registries: ["dc1", "prod"], atMs: Date.UTC(2026, 0, 1) };
  assert.equal(formatMark(mark), "dc1,prod@2026-01-01T00:00:00.000Z");
  assert.deepEqual(parseMark(formatMark(mark)), mark);
});

for (const text of [undefined, "", "dc1", "@2026-01-01T00:00:00Z", "dc1@soon"]) {
  test(`parseMark() finds none in ${JSON.stringify(text)}`, () => assert.equal(parseMark(text), undefined));
}

test("parseLease() reads a Lease without a spec as free", () => {
  assert.equal(parseLease({ metadata: { name: "x" } }).holder, "");
});
