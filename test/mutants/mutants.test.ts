import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { testSize } from "../size.ts";
import { copyProject, fault, readMutants } from "./mutants.ts";

const root = join(import.meta.dirname, "../..");
/** Faults that each day's runs try: another ten each day. */
const SAMPLE = 10;
const DAY_MS = 86_400_000;
const mutants = readMutants();

/** A fault that makes a suite hang is noticed by that, and ten of them must not take as long as a test may. */
const SAMPLE_LIMIT_MS = 40_000;

test("every mutant can be made, and its suite is there", () => {
  assert.ok(mutants.length > 0);
  for (const one of mutants) {
    assert.equal(fault(one), undefined);
    assert.ok(existsSync(join(root, one.suite)), one.suite);
    assert.ok(one.why.length > 0, one.file);
  }
});

test("a change that is not there, stands twice, or changes nothing is no mutant", () => {
  const one = { file: "src/a.ts", from: "a", to: "b", suite: "", why: "" };
  assert.match(fault(one, "x") ?? "", /0 times/);
  assert.match(fault(one, "a a") ?? "", /2 times/);
  assert.match(fault({ ...one, to: "a" }, "a") ?? "", /nothing changes/);
  assert.equal(fault(one, "a"), undefined);
});

test("the suites notice today's sample of faults", { skip: testSize() === "quick" && "takes a minute" }, async (t) => {
  const copy = await copyProject();
  t.after(() => copy.remove());
  const start = (Math.floor(Date.now() / DAY_MS) * SAMPLE) % mutants.length;
  for (const mutant of [...mutants, ...mutants].slice(start, start + SAMPLE))
    assert.notEqual(
      await copy.fateOf(mutant, SAMPLE_LIMIT_MS),
      "survived",
      `${mutant.file}: ${mutant.from} → ${mutant.to}: ${mutant.why}`,
    );
});
