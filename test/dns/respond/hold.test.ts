import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Answer } from "../../../src/dns/answer/answer.ts";
import { holdQuestions } from "../../../src/dns/respond/hold.ts";

const given: Answer = { kind: "reply", rcode: 0, authoritative: true, answers: [], authority: [] };
const CLIENT = "192.0.2.1";
/** A clock of the test's own. */
function clock(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  t.mock.method(performance, "now", () => Date.now());
  return {
    /** Let time pass, millisecond by millisecond, with what is done meanwhile. */
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed++) {
        t.mock.timers.tick(1);
        await Promise.resolve();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** What became of a promise so far. */
function followed<T>(promise: Promise<T>) {
  const state: { now: T | "waits" } = { now: "waits" };
  void promise.then((value) => {
    state.now = value;
  });
  return state;
}

const heldFor = (ms: number) => ({ kind: "held" as const, untilMs: Date.now() + ms });

test("holdQuestions() gives the answer once it is settled", async (t) => {
  const { pass } = clock(t);
  const first = heldFor(150);
  let lookUps = 0;
  const found = followed(
    holdQuestions({ limit: 1 }).wait(
      first,
      () => {
        lookUps++;
        return Date.now() >= first.untilMs ? given : first;
      },
      CLIENT,
    ),
  );
  await pass(149);
  assert.equal(found.now, "waits");
  await pass(1);
  assert.equal(found.now, given);
  assert.equal(lookUps, 2, "after 100 ms, and when it settles");
});

test("holdQuestions() sees a name settle sooner than was said", async (t) => {
  const { pass } = clock(t);
  const settledMs = Date.now() + 201;
  const first = heldFor(1e9);
  const found = followed(
    holdQuestions({ limit: 1 }).wait(first, () => (Date.now() >= settledMs ? given : first), CLIENT),
  );
  await pass(299);
  assert.equal(found.now, "waits");
  await pass(1);
  assert.equal(found.now, given);
});

for (const ms of [2001, 60_000])
  test(`holdQuestions() gives up after 2 s on what settles in ${ms} ms`, async (t) => {
    const { pass } = clock(t);
    const first = heldFor(ms);
    const found = followed(holdQuestions({ limit: 1 }).wait(first, () => first, CLIENT));
    await pass(1999);
    assert.equal(found.now, "waits");
    await pass(1);
    assert.equal(found.now, undefined);
  });

test("holdQuestions() gives up the oldest of who has most, and no other", async () => {
  const dropped: string[] = [];
  const hold = holdQuestions({ limit: 3, onDropped: (client) => dropped.push(client) });
  const first = heldFor(120);
  const lookUp = () => (Date.now() >= first.untilMs ? given : first);
  const held = [CLIENT, CLIENT, "192.0.2.2", "192.0.2.3", "192.0.2.3"].map((client) =>
    hold.wait(first, lookUp, client),
  );
  assert.deepEqual(await Promise.all(held), [undefined, given, given, undefined, given]);
  assert.equal(await hold.wait(heldFor(0), () => given, CLIENT), given);
  assert.deepEqual(dropped, [CLIENT, "192.0.2.3"], "places are given back");
});

test("holdQuestions() frees its place when a lookup throws", async () => {
  const hold = holdQuestions({ limit: 1 });
  await assert.rejects(
    hold.wait(
      heldFor(1),
      () => {
        throw new Error("broken");
      },
      CLIENT,
    ),
    /broken/,
  );
  assert.equal(await hold.wait(heldFor(1), () => given, CLIENT), given);
});

test("release() ends all holds and lets none begin", async () => {
  const hold = holdQuestions({ limit: 2 });
  const first = heldFor(60_000);
  const waiting = hold.wait(first, () => first, CLIENT);
  hold.release();
  assert.equal(await waiting, undefined);
  assert.equal(await hold.wait(first, () => first, CLIENT), undefined);
});
