import assert from "node:assert/strict";
import { test } from "node:test";
import { reviewed, type Verdict } from "../../src/http/reviews.ts";
import { securityRow } from "../security/row.ts";

function start() {
  let now = 0;
  const asked: string[] = [];
  let answer: Promise<unknown> = Promise.resolve();
  const judged = reviewed<Verdict>(
    async (token) => {
      asked.push(token);
      await answer;
      return { state: token.startsWith("good") ? "accepted" : "refused" };
    },
    { onError: assert.ifError, nowMs: () => now },
  );
  return {
    asked,
    judged,
    wait: (ms: number) => {
      now += ms;
    },
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      answer = promise;
      return resolve;
    },
  };
}

test(
  securityRow({
    who: "HTTP client",
    attack: "makes up tokens as fast as it can",
    outcome: "other clients' tokens are verified all the same, and the cluster is asked about 50 a second",
  }),
  async () => {
    const { judged, asked, wait } = start();
    for (let second = 0; second < 3; second++) {
      for (let n = 0; n < 500; n++) await judged(`bad.${second}.${n}`, "192.0.2.66");
      for (let n = 0; n < 5; n++) assert.equal((await judged(`good.${second}.${n}`, "192.0.2.1")).state, "accepted");
      assert.equal((await judged(`good.${second}.5`, "192.0.2.1")).state, "unavailable", "it has 5 of its own");
      wait(1000);
    }
    assert.equal(asked.length, 3 * 55);
  },
);

test("reviewed() asks again for a token that was accepted, whatever else its client sends", async () => {
  const { judged, wait } = start();
  assert.equal((await judged("good.a.b", "192.0.2.1")).state, "accepted");
  for (let minute = 0; minute < 3; minute++) {
    wait(60_000);
    for (let n = 0; n < 500; n++) await judged(`bad.${minute}.${n}`, "192.0.2.1");
    assert.equal((await judged("good.a.b", "192.0.2.1")).state, "accepted");
  }
});

test("reviewed() forgets accepted tokens for no number of made-up ones", async () => {
  const { judged, wait } = start();
  await judged("good.a.b", "192.0.2.1");
  for (let second = 0; second < 300; second++) {
    for (let n = 0; n < 50; n++) await judged(`bad.${second}.${n}`, "192.0.2.66");
    wait(1000);
  }
  for (let n = 0; n < 500; n++) await judged(`bad.x.${n}`, "192.0.2.1");
  assert.equal((await judged("good.a.b", "192.0.2.1")).state, "accepted");
});

test("reviewed() leaves a new client its share of questions at a time while a slow cluster is asked for another", async () => {
  const { judged, asked, hold } = start();
  const answered = hold();
  const theirs = Array.from({ length: 20 }, (_, n) => judged(`bad.${n}.b`, "192.0.2.66"));
  assert.equal(asked.length, 16);
  const mine = Array.from({ length: 3 }, (_, n) => judged(`good.${n}.b`, "192.0.2.1"));
  assert.equal(asked.length, 18);
  answered();
  assert.deepEqual(
    (await Promise.all(mine)).map(({ state }) => state),
    ["accepted", "accepted", "unavailable"],
  );
  await Promise.all(theirs);
});

test("reviewed() asks 200 questions a second at most, of however many clients", async () => {
  const { judged, asked } = start();
  for (let n = 0; n < 500; n++) await judged(`bad.${n}.b`, `192.0.2.${n}`);
  assert.equal(asked.length, 200);
});

test("reviewed() asks for each use of a token", async () => {
  const { judged, asked } = start();
  for (const use of ["/api/plan", "/api/names", "/api/plan"]) await judged("good.a.b", "192.0.2.1", use);
  assert.equal(asked.length, 2);
});
