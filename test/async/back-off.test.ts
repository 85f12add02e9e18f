import assert from "node:assert/strict";
import { test } from "node:test";
import { backOffMs, jittered, pause } from "../../src/async/back-off.ts";
import { each } from "../../src/async/each.ts";

const cases: readonly (readonly [failures: number, options: Parameters<typeof backOffMs>[1], want: number])[] = [
  [1, undefined, 250],
  [2, undefined, 500],
  [7, undefined, 16_000],
  [8, undefined, 30_000],
  [1_000_000, undefined, 30_000],
  [1, { firstMs: 10, mostMs: 40 }, 10],
  [3, { firstMs: 10, mostMs: 40 }, 40],
  [4, { firstMs: 10, mostMs: 40 }, 40],
  [1, { firstMs: 50, mostMs: 40 }, 40],
];
for (const [failures, options, want] of cases)
  test(`backOffMs() is ${want} after failure ${failures} with ${JSON.stringify(options ?? {})}`, () => {
    assert.equal(backOffMs(failures, options), want);
  });

for (const [random, want] of [
  [0, 50],
  [0.5, 75],
  [0.999, 99.95],
] as const)
  test(`jittered() of 100 is ${want} where chance says ${random}`, (t) => {
    t.mock.method(Math, "random", () => random);
    assert.equal(jittered(100).toFixed(2), want.toFixed(2));
  });

test("pause() ends early, without throwing, when it is aborted", async () => {
  const end = new AbortController();
  const waiting = pause(3_600_000, end.signal);
  end.abort();
  await waiting;
  await pause(3_600_000, end.signal);
});

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("each() does all, and so many at once", async () => {
  for (const most of [1, 3, 20]) {
    const done: number[] = [];
    let running = 0;
    let highest = 0;
    await each([1, 2, 3, 4, 5, 6, 7], most, async (n) => {
      highest = Math.max(highest, ++running);
      await turn();
      running--;
      done.push(n);
    });
    assert.deepEqual([done.toSorted(), highest], [[1, 2, 3, 4, 5, 6, 7], Math.min(most, 7)]);
  }
  await each([], 3, async () => assert.fail());
});

test("each() begins nothing after a failure, waits for what was begun, and throws the first", async () => {
  const begun: number[] = [];
  const ended: number[] = [];
  await assert.rejects(
    each([1, 2, 3, 4, 5], 2, async (n) => {
      begun.push(n);
      if (n === 1) throw new Error("first");
      await turn();
      ended.push(n);
      throw new Error("second");
    }),
    { message: "first" },
  );
  assert.deepEqual([begun, ended], [[1, 2], [2]]);
});
