import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { covers, coverTogether, overlaps } from "../../src/istio/ranges.ts";

const pairs: readonly (readonly [left: string, right: string, overlaps: boolean, covers: boolean])[] = [
  ["10.0.0.0/8", "10.1.0.0/16", true, true],
  ["10.1.0.0/16", "10.0.0.0/8", true, false],
  ["10.0.0.0/8", "11.0.0.0/8", false, false],
  ["0.0.0.0/0", "240.241.0.0/16", true, true],
  ["240.241.7.7/16", "240.241.0.0/16", true, true],
  ["192.0.2.1", "192.0.2.1/32", true, true],
  ["fd00::/8", "fd00:241::/64", true, true],
  ["::/0", "10.0.0.0/8", false, false],
  ["10.0.0.0/33", "10.0.0.0/8", false, false],
  ["10.0.0.0/-1", "10.0.0.0/8", false, false],
  ["everything", "10.0.0.0/8", false, false],
  ["", "10.0.0.0/8", false, false],
];
for (const [left, right, sharing, covering] of pairs)
  test(`${left || "nothing"} and ${right}`, () => {
    assert.deepEqual([overlaps(left, right), overlaps(right, left), covers(left, right)], [sharing, sharing, covering]);
  });

const together: readonly { readonly outer: readonly string[]; readonly inner: string; readonly want: boolean }[] = [
  { outer: [], inner: "10.0.0.0/8", want: false },
  { outer: ["10.0.0.0/9", "10.128.0.0/9"], inner: "10.0.0.0/8", want: true },
  { outer: ["10.128.0.0/9", "10.0.0.0/10", "10.64.0.0/10"], inner: "10.0.0.0/8", want: true },
  { outer: ["10.0.0.0/9", "10.192.0.0/10"], inner: "10.0.0.0/8", want: false },
  { outer: ["10.0.0.0/9", "10.0.0.0/9"], inner: "10.0.0.0/8", want: false },
  { outer: ["192.0.2.0/32", "192.0.2.1"], inner: "192.0.2.0/31", want: true },
  { outer: ["fd00::/65", "FD00:0:0:0:8000::/65"], inner: "fd00::/64", want: true },
  { outer: ["10.0.0.0/9", "10.128.0.0/9"], inner: "everything", want: false },
];
for (const { outer, inner, want } of together)
  test(`${outer.join(" and ") || "nothing"} ${want ? "cover" : "do not cover"} ${inner}`, () =>
    assert.equal(coverTogether(outer, inner), want));

test("coverTogether() is covering address by address", () => {
  const range = fc
    .tuple(fc.integer({ min: 24, max: 32 }), fc.integer({ min: 0, max: 255 }))
    .map(([bits, last]) => `192.0.2.${last & (0xff << (32 - bits)) & 0xff}/${bits}`);
  fc.assert(
    fc.property(fc.array(range, { maxLength: 8 }), range, (outer, inner) => {
      const addresses = Array.from({ length: 256 }, (_, last) => `192.0.2.${last}`);
      const wanted = addresses.filter((address) => covers(inner, address));
      const isCovered = wanted.every((address) => outer.some((one) => covers(one, address)));
      assert.equal(coverTogether(outer, inner), isCovered);
    }),
  );
});
