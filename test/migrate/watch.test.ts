import assert from "node:assert/strict";
import { test } from "node:test";
import { stageShareText } from "../../src/migrate/moves.ts";
import { progressOf } from "../../src/migrate/watch.ts";
import type { Stage } from "../../src/model/claim.ts";

const asked = {
  service: "vms/shop/orders",
  want: { stage: "split", weight: 50 },
  request: "split 50 shop/orders-v2 r",
} as const;
const at = (stage: Stage, weight: number, steppedBackFrom?: string) => ({
  ...{ stage, weight, steppedBackFrom },
  claimant: undefined,
});
for (const [standing, want] of [
  [at("outside", 0), "under way"],
  [at("split", 10), "under way"],
  [at("split", 50), "effective"],
  [at("split", 50, "an older request"), "effective"],
  [at("split", 60), "under way"],
  [at("split", 100), "under way"],
  [at("inside", 100), "under way"],
  [at("outside", 0, "split 50 shop/orders-v2 r"), "stepped back"],
] as const)
  test(`progressOf() of ${stageShareText(standing)}${standing.steppedBackFrom === undefined ? "" : ` after "${standing.steppedBackFrom}"`} is ${want}`, () =>
    assert.equal(progressOf(standing, asked).state, want));
