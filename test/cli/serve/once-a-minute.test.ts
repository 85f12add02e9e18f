import assert from "node:assert/strict";
import { test } from "node:test";
import { onceAMinute } from "../../../src/cli/serve/once-a-minute.ts";

test("onceAMinute() tells the first error of a minute", (t) => {
  let now = 5;
  t.mock.method(performance, "now", () => now);
  const told: unknown[] = [];
  const tell = onceAMinute((error) => told.push(error));
  for (const [atMs, error] of [
    [5, "a"],
    [6, "b"],
    [60_004, "c"],
    [60_005, "d"],
    [60_006, "e"],
  ] as const) {
    now = atMs;
    tell(error);
  }
  assert.deepEqual(told, ["a", "d"]);
});
