import assert from "node:assert/strict";
import { test } from "node:test";
import { brakeNotice, createBrakeTimes } from "../../src/controller/brakes.ts";
import type { Brake } from "../../src/plan/policy.ts";

const brake = (registry: string): Brake => ({ registry, kind: "services", message: `brake: ${registry}` });

test("a brake that is on for long enough is released, and begins anew after a break", () => {
  const times = createBrakeTimes(1000);
  assert.deepEqual(times.record([brake("dc1"), brake("prod")], 0), []);
  assert.deepEqual(times.released(999), []);
  times.record([brake("prod")], 500); // dc1 has recovered
  times.record([brake("dc1"), brake("prod")], 600);
  assert.deepEqual(times.released(1000), ["prod"]);
  assert.deepEqual(times.record([brake("dc1")], 1000), ["prod"]);
  assert.deepEqual(times.released(1599), []);
  assert.deepEqual(times.released(1600), ["dc1"]);
});

test("a brake is never released by time unless it is configured", () => {
  const times = createBrakeTimes();
  times.record([brake("dc1")], 0);
  assert.deepEqual(times.released(Number.MAX_SAFE_INTEGER), []);
});

test("what people are told of a brake says how to release it", () =>
  assert.deepEqual(brakeNotice(brake("dc1")), {
    reason: "BrakeOn",
    subject: "dc1 services",
    message: "brake: dc1; x2istio apply --allow-deletes dc1 releases it",
  }));
