import assert from "node:assert/strict";
import { test } from "node:test";
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
    const history = historyOf(seed, STEPS);
    const { steps, violation } = await live(seed, history, tools);
    lived += steps;
    if (violation === undefined) return;
    const { invariant, message } = violation;
    const done = history.slice(0, steps).map((step) => JSON.stringify(step));
    const again = `"npx node test/soak/soak.ts ${seed} ${STEPS}" runs it again and looks for fewer steps that do`;
    assert.fail(`(${invariant}) ${INVARIANTS[invariant]}: ${message}\n${again}; these did:\n${done.join("\n")}`);
  });
}

test("the histories are many and long", { skip: only !== undefined || Number(count) < 50 }, () => {
  assert.ok(lived >= 10_000, `${lived} steps`);
});
