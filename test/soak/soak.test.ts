import assert from "node:assert/strict";
import { test } from "node:test";
import { sized } from "../size.ts";
import { EFFECTS, type Effect } from "./effects.ts";
import { installationOf } from "./installations.ts";
import { createTools, live } from "./soak.ts";
import { historyOf } from "./steps.ts";
import { INVARIANTS } from "./witness.ts";

/** X2ISTIO_SOAK_SEED=17 runs that seed alone. */
const only = process.env.X2ISTIO_SOAK_SEED;
const count = sized(52, { quick: 2, full: 1000 });
const seeds = only === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(only)];
const STEPS = 200;

const tools = createTools();
let lived = 0;
const took = new Map<Effect, number>();

for (const seed of seeds) {
  test(`a random history of registries, faults and processes breaks nothing, seed ${seed}`, async () => {
    const history = historyOf(seed, STEPS, installationOf(seed).kinds);
    const { steps, violation, effects } = await live(seed, history, tools);
    lived += steps;
    for (const [effect, times] of effects) took.set(effect, (took.get(effect) ?? 0) + times);
    if (violation === undefined) return;
    const { invariant, message } = violation;
    const done = history.slice(0, steps).map((step) => JSON.stringify(step));
    const again = `"npx node test/soak/soak.ts ${seed} ${STEPS}" runs it again and looks for fewer steps that do`;
    assert.fail(`(${invariant}) ${INVARIANTS[invariant]}: ${message}\n${again}; these did:\n${done.join("\n")}`);
  });
}

test("the histories are many and long, and all that can happen has happened", {
  skip: only !== undefined || count < 50,
}, (t) => {
  for (const effect of EFFECTS) t.diagnostic(`${took.get(effect) ?? 0} times ${effect}`);
  assert.ok(lived >= 10_000, `${lived} steps`);
  assert.deepEqual(
    EFFECTS.filter((effect) => !took.has(effect)),
    [],
  );
});
