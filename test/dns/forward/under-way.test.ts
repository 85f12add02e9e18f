import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { underWay } from "../../../src/dns/forward/under-way.ts";

/** Questions whose answers the test gives, at a time of its own. */
function start(t: TestContext, limits: { readonly maxQuestions?: number; readonly maxWaiting?: number }) {
  const state = { nowMs: 1000 };
  t.mock.method(performance, "now", () => state.nowMs);
  const dropped: string[] = [];
  const open = new Map<string, (answer: string) => void>();
  const stopped: string[] = [];
  const made = underWay<string>({
    ...{ maxQuestions: 10, maxWaiting: 10, onDropped: (client) => dropped.push(client), ...limits },
  });
  const asking = (key: string) => (signal: AbortSignal) => {
    const { promise, resolve } = Promise.withResolvers<string>();
    open.set(key, resolve);
    signal.addEventListener("abort", () => {
      stopped.push(key);
      resolve("stopped");
    });
    return promise;
  };
  const results: string[] = [];
  const wait = (key: string, client: string) => {
    state.nowMs += 100;
    void made.wait(key, client, asking(key)).then((result) => results.push(`${key} ${client} ${result}`));
  };
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { ...{ made, open, stopped, dropped, results, wait, turn, asking } };
}

test("underWay() ends the oldest question of who has most, and asks for it no longer", async (t) => {
  const { wait, turn, results, stopped, dropped, open } = start(t, { maxQuestions: 3 });
  for (const key of ["a", "b", "c"]) wait(key, "flood");
  wait("d", "other");
  await turn();
  assert.deepEqual([results, stopped, dropped], [["a flood undefined"], ["a"], ["flood"]]);
  for (const key of ["b", "c", "d"]) open.get(key)?.("good");
  await turn();
  assert.deepEqual(results.slice(1), ["b flood good", "c flood good", "d other good"]);
});

test("underWay() goes on asking for who else waits", async (t) => {
  const { wait, turn, results, stopped, open } = start(t, { maxQuestions: 2 });
  wait("popular", "flood");
  wait("popular", "other");
  for (const key of ["a", "b", "c"]) wait(key, "flood");
  await turn();
  assert.deepEqual(results, ["popular flood undefined", "a flood undefined", "c flood undefined"]);
  assert.deepEqual(stopped, ["a"]);
  open.get("popular")?.("good");
  await turn();
  assert.equal(results.at(-1), "popular other good");
});

test("underWay() begins none where a client's own share is full of questions younger than 250 ms", async (t) => {
  const { wait, turn, results, open } = start(t, { maxQuestions: 2 });
  for (const key of ["a", "b", "c", "d", "e", "f"]) wait(key, "flood");
  await turn();
  assert.deepEqual(
    results,
    ["c", "a", "b", "f"].map((key) => `${key} flood undefined`),
  );
  assert.deepEqual([...open.keys()], ["a", "b", "d", "e"]);
});

test("underWay() lets each client have its share of those who wait, whatever they wait for", async (t) => {
  const { wait, turn, results, stopped, open } = start(t, { maxWaiting: 3 });
  for (const client of ["flood", "flood", "flood", "other", "flood"]) wait("same", client);
  await turn();
  assert.deepEqual(results, ["same flood undefined", "same flood undefined"]);
  assert.deepEqual(stopped, []);
  open.get("same")?.("good");
  await turn();
  assert.deepEqual(results.slice(2), ["same flood good", "same other good", "same flood good"]);
});

test("underWay() stops what the last one waited for who lost the place", async (t) => {
  const { wait, turn, results, stopped } = start(t, { maxWaiting: 1 });
  wait("a", "flood");
  wait("b", "flood");
  await turn();
  assert.deepEqual([results, stopped], [["a flood undefined"], ["a"]]);
});

test("underWay() asks again for what it has given up, and takes no late answer for it", async (t) => {
  const { wait, turn, results, open } = start(t, { maxQuestions: 1 });
  wait("a", "one");
  const late = open.get("a");
  wait("b", "two");
  wait("a", "three");
  late?.("late");
  await turn();
  open.get("a")?.("good");
  await turn();
  assert.deepEqual(results, ["a one undefined", "b two undefined", "a three good"]);
});

test("begin() asks although nobody waits, once, and in a share of its own", async (t) => {
  const { made, wait, turn, results, open, stopped, asking } = start(t, { maxQuestions: 2 });
  made.begin("a", asking("a"));
  made.begin("a", () => assert.fail("asked twice"));
  wait("a", "one");
  open.get("a")?.("good");
  await turn();
  assert.deepEqual(results, ["a one good"]);
  for (const key of ["b", "c"]) made.begin(key, asking(key));
  wait("d", "one");
  assert.deepEqual(stopped, ["b"]);
});
