import assert from "node:assert/strict";
import { test } from "node:test";
import { finish, inSlices, type Sliced } from "../../src/async/slices.ts";
import { yielding } from "../../src/async/yielding.ts";

const never = new AbortController().signal;

/** Keeps the thread busy for about `ms` milliseconds. */
function* busy(ms: number): Sliced<string> {
  for (const endMs = performance.now() + ms; performance.now() < endMs; ) yield;
  return "done";
}

test("yielding() gives what is computed, and others their turn meanwhile", async () => {
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  assert.equal(await yielding(busy(100), never), "done");
  clearInterval(turn);
  assert.ok(turns > 0, "a timer of 1 ms had its turn within 100 ms");
});

test("yielding() starts at once, so that what is read first is what is there now", () => {
  let isStarted = false;
  void yielding(
    (function* (): Sliced<void> {
      isStarted = true;
      yield;
    })(),
    never,
  );
  assert.ok(isStarted);
});

test("yielding() ends when it is told to, and with what a slice throws", async () => {
  const end = new AbortController();
  const running = yielding(busy(60_000), end.signal);
  setTimeout(() => end.abort(new Error("stopped")), 5);
  await assert.rejects(running, { message: "stopped" });
  const broken = (function* (): Sliced<void> {
    yield;
    throw new Error("odd object");
  })();
  await assert.rejects(yielding(broken, never), { message: "odd object" });
});

test("inSlices() visits every item once, in order, and pauses between", () => {
  const items = Array.from({ length: 1000 }, (_, at) => at);
  const visited: number[] = [];
  const visits = inSlices(items, (item) => void visited.push(item));
  visits.next();
  assert.ok(visited.length > 0 && visited.length < items.length, "it pauses before the end");
  finish(visits);
  assert.deepEqual(visited, items);
});
