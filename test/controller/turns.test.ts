import assert from "node:assert/strict";
import { test } from "node:test";
import { inTurns } from "../../src/controller/turns.ts";
import type { Steps } from "../../src/plan/steps.ts";

const never = new AbortController().signal;

/** Steps that keep the thread busy for about `ms` milliseconds. */
function* busy(ms: number): Steps<string> {
  for (const endMs = performance.now() + ms; performance.now() < endMs; ) yield;
  return "done";
}

test("inTurns() gives what the steps give, and others their turn meanwhile", async () => {
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  assert.equal(await inTurns(busy(100), never), "done");
  clearInterval(turn);
  assert.ok(turns > 0, "a timer of 1 ms had its turn within 100 ms");
});

test("inTurns() starts at once, so that what is read first is what is there now", () => {
  let isStarted = false;
  void inTurns(
    (function* (): Steps<void> {
      isStarted = true;
      yield;
    })(),
    never,
  );
  assert.ok(isStarted);
});

test("inTurns() ends when it is told to, and with what a step throws", async () => {
  const end = new AbortController();
  const running = inTurns(busy(60_000), end.signal);
  setTimeout(() => end.abort(new Error("stopped")), 5);
  await assert.rejects(running, { message: "stopped" });
  const broken = (function* (): Steps<void> {
    yield;
    throw new Error("odd object");
  })();
  await assert.rejects(inTurns(broken, never), { message: "odd object" });
});
