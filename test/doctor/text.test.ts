import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { counted, shellWord, someOf } from "../../src/doctor/text.ts";

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
  assert.deepEqual([someOf(["a", "b", "c"]), someOf(["a", "b", "c", "d"])], ["a, b, c", "a, b, c and 1 more"]);
  assert.deepEqual([someOf(["a"]), someOf(["a", "b", "c", "d", "e"])], ["a", "a, b, c and 2 more"]);
});
