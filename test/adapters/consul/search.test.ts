import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay, setImmediate as turnOfLoop } from "node:timers/promises";
import type { Datacenter } from "../../../adapters/consul/datacenter.ts";
import { type Search, searchIn } from "../../../adapters/consul/search.ts";
import { ReadError } from "../../../src/errors.ts";
import { until } from "../../until.ts";

const many = (count: number) => Array.from({ length: count }, (_, at) => `s${String(at).padStart(4, "0")}`);

/** A search among services with indexes, which are remembered when they are read. */
function setUp(t: TestContext, names: readonly string[], watched: readonly string[] = []) {
  const world = {
    names: new Set(names),
    indexes: new Map<string, number>(),
    known: new Map<string, number>(),
    looks: [] as { readonly atMs: number; readonly names: readonly string[] }[],
    read: [] as string[],
    /** What a look waits for, or fails with. */
    before: async (_count: number): Promise<void> => undefined,
  };
  const reader = {
    names: () => world.names,
    indexOf: (name: string) => world.known.get(name) ?? 10,
    async changedOf(of: readonly string[]) {
      world.looks.push({ atMs: performance.now(), names: of });
      await world.before(world.looks.length);
      return of.filter((name) => (world.indexes.get(name) ?? 10) !== (world.known.get(name) ?? 10));
    },
    async readService(name: string) {
      world.read.push(name);
      world.known.set(name, world.indexes.get(name) ?? 10);
    },
  } as unknown as Datacenter;
  const end = new AbortController();
  t.after(() => end.abort());
  const search: Search = searchIn({ reader, isWatched: (name) => watched.includes(name) }, end.signal);
  return { world, search, seen: () => world.looks.flatMap((look) => look.names) };
}

test("a search reads what has another index, what changed last first, and what is watched last", async (t) => {
  const { world, search, seen } = setUp(t, many(10), ["s0003", "s0001"]);
  for (const name of ["s0002", "s0007", "s0002", "s0009", "s0001", "gone"]) search.note(name);
  world.indexes.set("s0003", 11).set("s0007", 12);
  search.request();
  await until(() => world.read.length === 2);
  assert.deepEqual(world.read, ["s0007", "s0003"]);
  assert.deepEqual(seen().slice(0, 3), ["s0009", "s0002", "s0007"]);
  assert.deepEqual(seen().slice(-2), ["s0001", "s0003"]);
  assert.equal(new Set(seen()).size, seen().length, "each once");
  assert.equal(seen().includes("gone"), false);
});

test("an index that was given before, or a lower one, is no news", async (t) => {
  const { world, search, seen } = setUp(t, many(3));
  search.request(12);
  await until(() => seen().length === 3);
  search.request(12);
  search.request(11);
  await delay(50);
  assert.equal(seen().length, 3);
  world.indexes.set("s0001", 13);
  search.request(13);
  await until(() => world.read.length === 1);
});

for (const [name, index] of [
  ["what was wanted", 11],
  ["something else", 12],
] as const)
  test(`a search that has found ${name} goes on ${index === 11 ? "in no hurry" : "in a hurry"}, and comes to all`, async (t) => {
    const { world, search, seen } = setUp(t, many(700));
    world.before = () => delay(60);
    world.indexes.set("s0001", 11);
    search.request(index);
    await until(() => seen().length === 700);
    const [first, second, third] = world.looks.map(({ atMs }) => atMs);
    const [restMs, nextMs] = [(second ?? 0) - (first ?? 0), (third ?? 0) - (second ?? 0)];
    if (index === 11) assert.ok(Math.min(restMs, nextMs) >= 230, `${restMs} and ${nextMs} ms`);
    else assert.ok(Math.min(restMs, nextMs) < 230, `${restMs} and ${nextMs} ms`);
    assert.deepEqual(world.read, ["s0001"]);
  });

test("a search is in no hurry where the blocking query of a service has told of that which is wanted", async (t) => {
  const { world, search, seen } = setUp(t, many(700));
  world.before = () => delay(60);
  world.known.set("s0001", 11);
  world.indexes.set("s0001", 11);
  search.note("s0001");
  search.request(11);
  await until(() => seen().length === 700);
  const [first, second] = world.looks.map(({ atMs }) => atMs);
  assert.ok((second ?? 0) - (first ?? 0) >= 230);
});

test("what was wanted before a search was broken off is wanted by the next, though what broke it off is known", async (t) => {
  const { world, search, seen } = setUp(t, many(700));
  world.before = () => delay(60);
  search.request(20);
  await until(() => world.looks.length === 1);
  world.indexes.set("s0001", 21);
  world.known.set("s0001", 21);
  search.note("s0001");
  search.request(21);
  await until(() => seen().length >= 128 + 700);
  const times = world.looks.map(({ atMs }) => atMs);
  const gaps = times.slice(1).map((atMs, at) => atMs - (times[at] ?? 0));
  assert.ok(Math.min(...gaps.slice(1)) < 230, `${gaps}`);
});

test("a request breaks off a search: the next begins where it was, and comes to all that may have changed since", async (t) => {
  const { world, search, seen } = setUp(t, many(700));
  const gate = Promise.withResolvers<void>();
  world.before = (count) => (count === 1 ? gate.promise : Promise.resolve());
  search.request();
  await until(() => world.looks.length === 1);
  world.indexes.set("s0000", 11);
  search.request();
  gate.resolve();
  await until(() => seen().length >= 128 + 700);
  await delay(50);
  assert.equal(seen().length, 128 + 700, "the rest of the one that was broken off is not looked at twice");
  assert.equal(seen()[128], "s0128");
  assert.deepEqual(world.read, ["s0000"]);
});

test("looking around comes to all, in no hurry, and gives way to a request", async (t) => {
  const { world, search, seen } = setUp(t, many(700));
  world.before = () => delay(400);
  search.lookAround();
  await until(() => world.looks.length === 1);
  search.request();
  world.before = async () => undefined;
  await until(() => seen().length >= 128 + 700);
  const [first, second] = world.looks.map(({ atMs }) => atMs);
  assert.ok((second ?? 0) - (first ?? 0) < 1200, "it does not rest any longer");
});

test("a search that fails says so, and begins again with all", async (t) => {
  const { world, search, seen } = setUp(t, many(10));
  world.before = async (count) => {
    if (count === 1) throw new ReadError("server", "answered 500");
  };
  search.lookAround();
  await until(() => !search.isWell());
  await until(() => search.isWell());
  assert.equal(seen().length, 20);
});

test("a search that was in a hurry for nothing rests as long as it took", async (t) => {
  const { world, search } = setUp(t, many(10));
  world.before = () => delay(300);
  search.request();
  await until(() => world.looks.length === 1);
  await delay(320);
  await turnOfLoop();
  search.request();
  await until(() => world.looks.length === 2);
  const [first, second] = world.looks.map(({ atMs }) => atMs);
  assert.ok((second ?? 0) - (first ?? 0) >= 590, "twice that");
});
