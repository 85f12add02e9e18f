import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { counted, shellWord, someOf } from "../../src/doctor/finding.ts";
import { covers, coverTogether, overlaps } from "../../src/doctor/ranges.ts";

test("shellWord() is one word to a shell, whatever is in it", () => {
  const nasty = fc.oneof(
    fc.string({ unit: fc.constantFrom("'", '"', "\\", "$", "`", ";", " ", "\n", "!", "*", "a", "{", "~", "#", "-") }),
    fc.string({ unit: "grapheme" }),
  );
  const texts = fc.sample(nasty, 200).map((text) => text.replaceAll("\0", ""));
  const script = `for word in ${texts.map(shellWord).join(" ")}; do printf '%s\\0' "$word"; done`;
  assert.deepEqual(execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0").slice(0, -1), texts);
});

test("shellWord() leaves plain words as they are", () => {
  for (const word of ["mesh-services", "team=a", "10.0.0.0/8,x"]) assert.equal(shellWord(word), word);
});

test("counted() and someOf() read on", () => {
  assert.deepEqual([counted(1, "entry"), counted(2, "entry"), counted(0, "pod")], ["1 entry", "2 entries", "0 pods"]);
  assert.deepEqual([someOf(["a"]), someOf(["a", "b", "c", "d", "e"])], ["a", "a, b, c and 2 more"]);
});

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
