import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { firstGood } from "../../../src/dns/forward/first-good.ts";

const STAGGER_MS = 400;
const good = Buffer.from("good");
const bad = Buffer.from("bad");

/** What the targets answer is said by the test, in its own time. */
function start(t: TestContext, targets: readonly string[]) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const tried: string[] = [];
  const stopped: string[] = [];
  const open = new Map<string, PromiseWithResolvers<Buffer>>();
  const result = firstGood(
    targets,
    (target, stop) => {
      tried.push(target);
      const under = Promise.withResolvers<Buffer>();
      open.set(target, under);
      stop.addEventListener("abort", () => stopped.push(target));
      return under.promise;
    },
    { staggerMs: STAGGER_MS, isGood: (answer) => answer === good },
  );
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    ...{ tried, stopped, result },
    pass: (ms: number) => t.mock.timers.tick(ms),
    async say(target: string, answer: Buffer | undefined) {
      if (answer === undefined) open.get(target)?.reject(new Error("failed"));
      else open.get(target)?.resolve(answer);
      await turn();
    },
  };
}

test("firstGood() tries the next after the time that it waits for one alone, not earlier", async (t) => {
  const { tried, result, pass, say } = start(t, ["a", "b", "c"]);
  assert.deepEqual(tried, ["a"]);
  pass(STAGGER_MS - 1);
  assert.deepEqual(tried, ["a"]);
  pass(1);
  assert.deepEqual(tried, ["a", "b"]);
  pass(STAGGER_MS);
  assert.deepEqual(tried, ["a", "b", "c"]);
  pass(10 * STAGGER_MS);
  await say("a", good);
  assert.equal(await result, good, "the first may still be the one that answers");
});

for (const answer of [undefined, bad])
  test(`firstGood() tries the next at once after ${answer ?? "a failure"}, and waits for that alone as long`, async (t) => {
    const { tried, stopped, result, pass, say } = start(t, ["a", "b", "c"]);
    pass(STAGGER_MS - 1);
    await say("a", answer);
    assert.deepEqual(tried, ["a", "b"]);
    pass(STAGGER_MS - 1);
    assert.deepEqual(tried, ["a", "b"]);
    pass(1);
    assert.deepEqual(tried, ["a", "b", "c"]);
    await say("b", good);
    assert.equal(await result, good);
    assert.ok(stopped.includes("c"), "the others are ended");
  });

test("firstGood() gives the last answer where none is good, after all have ended", async (t) => {
  const { tried, result, say, pass } = start(t, ["a", "b", "c"]);
  pass(STAGGER_MS);
  await say("b", bad);
  assert.deepEqual(tried, ["a", "b", "c"]);
  await say("c", undefined);
  const early = await Promise.race([result, new Promise((resolve) => setImmediate(resolve, "waits"))]);
  assert.equal(early, "waits", "the first may still answer");
  await say("a", undefined);
  assert.equal(await result, bad);
});

test("firstGood() tries no further once there is a good answer", async (t) => {
  const { tried, result, pass, say } = start(t, ["a", "b"]);
  await say("a", good);
  assert.equal(await result, good);
  pass(10 * STAGGER_MS);
  assert.deepEqual(tried, ["a"]);
});

test("firstGood() gives nothing where there is nobody to try", async (t) => {
  assert.equal(await start(t, []).result, undefined);
});
