import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer } from "../../src/dns/answer.ts";
import { holdQuestions } from "../../src/dns/hold.ts";

const given: Answer = { kind: "reply", rcode: 0, authoritative: true, answers: [], authority: [] };
const heldFor = (ms: number) => ({ kind: "held" as const, untilMs: Date.now() + ms });

test("holdQuestions() gives the answer once it is settled", async () => {
  const started = performance.now();
  const first = heldFor(150);
  assert.equal(
    await holdQuestions({ limit: 1 }).wait(first, () => (Date.now() >= first.untilMs ? given : first)),
    given,
  );
  const took = performance.now() - started;
  assert.ok(took > 140 && took < 1900, `${took} ms`);
});

test("holdQuestions() sees a name settle sooner than was said", async () => {
  const started = performance.now();
  const first = heldFor(1e9);
  assert.equal(
    await holdQuestions({ limit: 1 }).wait(first, () => (performance.now() - started > 200 ? given : first)),
    given,
  );
  assert.ok(performance.now() - started < 1900);
});

test("holdQuestions() gives up after 2 s", async () => {
  const started = performance.now();
  const first = heldFor(60_000);
  assert.equal(await holdQuestions({ limit: 1 }).wait(first, () => first), undefined);
  const took = performance.now() - started;
  assert.ok(took > 1950 && took < 5000, `${took} ms`);
});

test("holdQuestions() refuses at once what is over its limit, and only that", async () => {
  const hold = holdQuestions({ limit: 2 });
  const first = heldFor(120);
  const lookUp = () => (Date.now() >= first.untilMs ? given : first);
  const held = [hold.wait(first, lookUp), hold.wait(first, lookUp)];
  assert.equal(await Promise.race([...held, hold.wait(first, lookUp)]), undefined);
  assert.deepEqual(await Promise.all(held), [given, given]);
  assert.equal(await hold.wait(heldFor(0), () => given), given);
});

test("holdQuestions() frees its place when a lookup throws", async () => {
  const hold = holdQuestions({ limit: 1 });
  await assert.rejects(
    hold.wait(heldFor(1), () => {
      throw new Error("broken");
    }),
    /broken/,
  );
  assert.equal(await hold.wait(heldFor(1), () => given), given);
});

test("release() ends all holds and lets none begin", async () => {
  const hold = holdQuestions({ limit: 2 });
  const first = heldFor(60_000);
  const waiting = hold.wait(first, () => first);
  hold.release();
  assert.equal(await waiting, undefined);
  assert.equal(await hold.wait(first, () => first), undefined);
});
