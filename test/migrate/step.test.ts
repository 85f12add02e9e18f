import assert from "node:assert/strict";
import { test } from "node:test";
import { annotationsFor, ownersOf } from "../../src/migrate/step.ts";

test("annotationsFor() sets a weight only at split", () => {
  assert.deepEqual(annotationsFor({ stage: "split", weight: 10 }, "r"), {
    "x2istio.dev/stage": "split",
    "x2istio.dev/weight": "10",
    "x2istio.dev/request": "r",
  });
  assert.deepEqual(annotationsFor({ stage: "inside", weight: 100 }, "r"), {
    "x2istio.dev/stage": "inside",
    "x2istio.dev/request": "r",
  });
});

for (const [message, want] of [
  ['Apply failed with 1 conflict: conflict with "argocd-controller": .metadata.annotations', "argocd-controller"],
  ['2 conflicts: conflicts with "b": x\nconflicts with "a" using v1: y', "a and b"],
  ["Operation cannot be fulfilled", "someone else"],
] as const)
  test(`ownersOf() finds ${want}`, () => assert.equal(ownersOf(message), want));
