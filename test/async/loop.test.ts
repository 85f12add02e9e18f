import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import { backOff } from "../../src/async/back-off.ts";
import { firstOf, loop } from "../../src/async/loop.ts";
import { fakeTimers } from "./fake-timers.ts";

const never = () => new AbortController().signal;

test("loop() runs one turn at a time until it is aborted, and ends after the running turn", async () => {
  const end = new AbortController();
  let running = 0;
  let turns = 0;
  let isDone = false;
  const ended = loop(
    async () => {
      assert.equal(++running, 1);
      await turnOfLoop();
      if (++turns === 3) end.abort();
      await turnOfLoop();
      running--;
      isDone = turns === 3;
    },
    { signal: end.signal, onFailure: assert.fail, nextTurn: async () => undefined },
  );
  await ended;
  assert.deepEqual([turns, running, isDone], [3, 0, true]);
});

test("loop() counts failures in a row and tells them, and forgets them after a success", async () => {
  const end = new AbortController();
  const script = ["bad", "bad", "good", "bad", "end"];
  const told: [unknown, number][] = [];
  const waits: number[] = [];
  await loop(
    async () => {
      const now = script.shift();
      if (now === "end") end.abort();
      if (now !== "good") throw new Error(now);
    },
    {
      signal: end.signal,
      onFailure: (error, failures) => told.push([(error as Error).message, failures]),
      nextTurn: async (failures) => void waits.push(failures),
    },
  );
  assert.deepEqual(
    told,
    [
      ["bad", 1],
      ["bad", 2],
      ["bad", 1],
    ],
    "what fails because it is aborted is no failure",
  );
  assert.deepEqual(waits, [1, 2, 0, 1]);
});

test("loop() ends while it waits for its next turn", async () => {
  const end = new AbortController();
  const ended = loop(async () => undefined, {
    signal: end.signal,
    onFailure: assert.fail,
    nextTurn: (_, signal) => backOff(20, signal),
  });
  await turnOfLoop();
  end.abort();
  await ended;
});

test("loop() does not start when it is aborted", async () => {
  await loop(async () => assert.fail(), {
    signal: AbortSignal.abort(),
    onFailure: assert.fail,
    nextTurn: async () => undefined,
  });
});

const waits = [
  { failures: 1, fromMs: 5, toMs: 10 },
  { failures: 2, fromMs: 10, toMs: 20 },
  { failures: 3, fromMs: 20, toMs: 40 },
  { failures: 4, fromMs: 20, toMs: 40 },
  { failures: 5000, fromMs: 20, toMs: 40 },
];
for (const { failures, fromMs, toMs } of waits)
  for (const [random, ms] of [
    [0, fromMs],
    [1 - Number.EPSILON, toMs],
  ] as const)
    test(`backOff() waits ${ms} ms after failure ${failures} where chance says ${random.toFixed(1)}`, async (t) => {
      t.mock.method(Math, "random", () => random);
      const { pass } = fakeTimers(t);
      let isOver = false;
      const waiting = backOff(failures, never(), { firstMs: 10, mostMs: 40 }).then(() => {
        isOver = true;
      });
      pass(ms - 1);
      await turnOfLoop();
      assert.ok(!isOver);
      pass(1);
      await waiting;
    });

test("backOff() spreads: no two replicas come at one time", async (t) => {
  const chances = [0, 0.1, 0.2];
  t.mock.method(Math, "random", () => chances.shift() ?? 0);
  const { pass } = fakeTimers(t);
  const over: string[] = [];
  const waiting = ["a", "b", "c"].map((name) => backOff(1, never(), { firstMs: 100 }).then(() => over.push(name)));
  for (const [ms, want] of [
    [49, []],
    [1, ["a"]],
    [6, ["a", "b"]],
    [6, ["a", "b", "c"]],
  ] as const) {
    pass(ms);
    await turnOfLoop();
    assert.deepEqual(over, want);
  }
  await Promise.all(waiting);
});

test("firstOf() resolves with the first wait and calls the others off", async () => {
  let calledOff = 0;
  const wait = (signal: AbortSignal) =>
    new Promise<void>((_, reject) => {
      signal.addEventListener("abort", () => {
        calledOff++;
        reject(signal.reason);
      });
    });
  await firstOf(never(), wait, async () => "first", wait);
  assert.equal(calledOff, 2);
});

test("firstOf() rejects when it is aborted, after all waits have ended", async () => {
  const end = new AbortController();
  let ended = 0;
  const wait = async (signal: AbortSignal) => {
    await backOff(20, signal).finally(() => ended++);
  };
  const waiting = firstOf(end.signal, wait, wait);
  end.abort(new Error("over"));
  await assert.rejects(waiting);
  assert.equal(ended, 2);
});

test("firstOf() passes on that a wait failed", async () => {
  await assert.rejects(
    firstOf(
      never(),
      (signal) => backOff(20, signal),
      async () => Promise.reject(new Error("watch broke")),
    ),
    /watch broke/,
  );
});
