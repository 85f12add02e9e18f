import assert from "node:assert/strict";
import { test } from "node:test";
import type { NamesPart } from "../../../src/dns/ready/names.ts";
import { nameFeed, sendAll } from "../../../src/dns/serve/name-feed.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { silent } from "../sockets.ts";
import { table } from "../wire.ts";

const many = (count: number, serial: number, last = 1): NameTable =>
  table(
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`s${n}.mesh.internal`, { a: [`240.241.0.${last}`] }])),
    serial,
  );
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A thread that keeps what it is sent, and says that it has taken a part when the test lets it. */
function thread() {
  const parts: NamesPart[] = [];
  const state = { isSlow: false };
  let taken: (() => void)[] = [];
  return {
    parts,
    state,
    async send(part: NamesPart) {
      parts.push(part);
      if (state.isSlow) await new Promise<void>((resolve) => taken.push(resolve));
    },
    async take() {
      const now = taken;
      taken = [];
      for (const resolve of now) resolve();
      await turn();
    },
    /** Kind of message, rows, names that have gone, and serial of each part. */
    shown: () =>
      parts
        .splice(0)
        .map(({ all, put, gone, serial }) => `${all ? "all" : "some"} ${put.length} -${gone.length} ${serial ?? "…"}`),
  };
}

function start(first: NameTable | undefined) {
  const state = { now: first };
  const one = thread();
  const threads = [one];
  const feed = nameFeed({ table: () => state.now, threads: () => threads, log: silent });
  return { state, one, threads, feed };
}

for (const { rows, want } of [
  { rows: 0, want: ["all 0 -0 5"] },
  { rows: 199, want: ["all 199 -0 5"] },
  { rows: 200, want: ["all 200 -0 …", "all 0 -0 5"] },
  { rows: 450, want: ["all 200 -0 …", "all 200 -0 …", "all 50 -0 5"] },
])
  test(`sendAll() sends ${rows} rows as ${want.join(", ")}`, async () => {
    const one = thread();
    const two = thread();
    await sendAll([one, two], many(rows, 5));
    assert.deepEqual([one.shown(), two.shown()], [want, want]);
  });

test("sendAll() sends fewer rows at a time where these have many endpoints", async () => {
  const one = thread();
  const endpoints = Array.from({ length: 792 }, (_, n) => ({ address: `192.0.${n >> 8}.${n & 255}` }));
  const { names, ...rest } = many(5, 5);
  const heavy = new Map([...names].map(([name, row]) => [name, { ...row, endpoints }]));
  await sendAll([one], { names: heavy, ...rest });
  assert.deepEqual(one.shown(), ["all 2 -0 …", "all 2 -0 …", "all 1 -0 5"]);
});

test("nameFeed() sends what changed, to all threads", async () => {
  const { state, one, threads, feed } = start(many(3, 1));
  feed.join(feed.first());
  const two = thread();
  threads.push(two);
  feed.join(feed.first());
  await turn();
  assert.deepEqual([one.shown(), two.shown()], [[], []]);
  const names = new Map([...many(4, 2, 9).names].filter(([name]) => name !== "s0.mesh.internal"));
  state.now = { ...many(4, 2, 9), names };
  feed.refresh();
  await turn();
  assert.deepEqual([one.shown(), two.shown()], [["some 3 -1 2"], ["some 3 -1 2"]]);
  feed.refresh();
  await turn();
  assert.deepEqual(one.shown(), [], "the same table is not sent again");
});

for (const { changed, want } of [
  { changed: 1000, want: ["some 1000 -0 2"] },
  { changed: 1001, want: [...Array<string>(5).fill("all 200 -0 …"), "all 1 -0 2"] },
])
  test(`nameFeed() sends ${changed} changes ${want.length === 1 ? "in one message" : "as a new table"}`, async () => {
    const { state, one, feed } = start(many(0, 1));
    feed.join(feed.first());
    await turn();
    state.now = many(changed, 2);
    feed.refresh();
    for (let n = 0; n < 10; n++) await turn();
    assert.deepEqual(one.shown(), want);
  });

test("nameFeed() sends everything to a thread that was sent an older table before it joined", async () => {
  const { state, one, threads, feed } = start(many(2, 1));
  feed.join(feed.first());
  await turn();
  const old = feed.first();
  state.now = many(2, 2, 9);
  feed.refresh();
  await turn();
  one.shown();
  const late = thread();
  threads.push(late);
  feed.join(old);
  await turn();
  assert.deepEqual(late.shown(), ["all 2 -0 2"]);
});

test("nameFeed() is current only once threads have taken the last of several changes", async () => {
  const { state, one, feed } = start(many(1, 1));
  feed.join(feed.first());
  await turn();
  assert.ok(feed.isCurrent());
  one.state.isSlow = true;
  state.now = many(1, 2, 2);
  feed.refresh();
  assert.ok(!feed.isCurrent());
  await turn();
  for (const last of [3, 4]) {
    state.now = many(1, last, last);
    feed.refresh();
  }
  assert.deepEqual(one.shown(), ["some 1 -0 2"], "the next is sent after this was taken");
  await one.take();
  assert.deepEqual(one.shown(), ["some 1 -0 4"]);
  assert.ok(!feed.isCurrent());
  await one.take();
  assert.ok(feed.isCurrent());
});

test("nameFeed() goes on after a table that cannot be read, and sends nothing after stop()", async () => {
  const warnings: string[] = [];
  const one = thread();
  const first = many(1, 1);
  const state: { now: () => NameTable | undefined } = { now: () => first };
  const feed = nameFeed({
    ...{ table: () => state.now(), threads: () => [one] },
    log: { warn: (_, message) => void warnings.push(message) },
  });
  feed.join(feed.first());
  await turn();
  state.now = () => assert.fail("broken");
  feed.refresh();
  await turn();
  assert.equal(warnings.length, 1);
  const second = many(1, 2, 2);
  state.now = () => second;
  feed.refresh();
  await turn();
  assert.deepEqual(one.shown(), ["some 1 -0 2"]);
  feed.stop();
  state.now = () => many(1, 3, 3);
  feed.refresh();
  await turn();
  assert.deepEqual(one.shown(), []);
});
