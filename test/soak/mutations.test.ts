import assert from "node:assert/strict";
import { test } from "node:test";
import { sized } from "../size.ts";
import { PLAIN } from "./installations.ts";
import { BROKEN_BUILDS } from "./mutations.ts";
import { createTools, live } from "./soak.ts";
import { historyOf } from "./steps.ts";
import { INVARIANTS } from "./witness.ts";

/** A seed that the whole build survives shows most mistakes at once, and a race after some seeds. */
const MOST_SEEDS = 25;
const STEPS = 200;
const builds = BROKEN_BUILDS.slice(0, sized(BROKEN_BUILDS.length, { quick: 2 }));

const tools = createTools();

for (const { name, mutation, breaks } of builds) {
  test(`a build where ${name} does not pass: ${INVARIANTS[breaks]}`, async () => {
    const seen: string[] = [];
    for (let seed = 1; seed <= MOST_SEEDS; seed++) {
      const { violation, steps } = await live(seed, historyOf(seed, STEPS), tools, {
        mutation,
        installation: PLAIN,
      });
      if (violation?.invariant === breaks) return;
      seen.push(
        `seed ${seed}: ${violation === undefined ? "nothing" : `(${violation.invariant}) ${violation.message}`}, ${steps} steps`,
      );
    }
    assert.fail(`no seed shows it:\n${seen.join("\n")}`);
  });
}
