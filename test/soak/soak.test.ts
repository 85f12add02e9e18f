import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTools, live } from "./soak.ts";
import { historyOf } from "./steps.ts";
import { INVARIANTS } from "./witness.ts";

/** X2ISTIO_SOAK_SEED=17 runs that seed alone; X2ISTIO_SOAK_SEEDS=1000 so many. */
const { X2ISTIO_SOAK_SEED: only, X2ISTIO_SOAK_SEEDS: count = "52" } = process.env;
const seeds = only === undefined ? Array.from({ length: Number(count) }, (_, at) => at + 1) : [Number(only)];
const STEPS = 200;

const tools = createTools();
let lived = 0;

for (const seed of seeds) {
  test(`a random history of registries, faults and processes breaks nothing, seed ${seed}`, async () => {
    const { steps, violation } = await live(seed, historyOf(seed, STEPS), tools);
    lived += steps;
    const why = violation === undefined ? "" : `${INVARIANTS[violation.invariant]}: ${violation.message}`;
    const again = `run it alone, and shorten it, with "node test/soak/soak.ts ${seed} ${STEPS}"`;
    assert.equal(violation, undefined, `(${violation?.invariant}) ${why}; ${again}`);
  });
}

after(() => {
  if (only === undefined) assert.ok(lived >= 10_000 && seeds.length >= 50, `${lived} steps, ${seeds.length} seeds`);
});
