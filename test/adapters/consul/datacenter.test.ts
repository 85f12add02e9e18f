import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import { catalog } from "../../../adapters/consul/catalog.ts";
import type { ConsulClient } from "../../../adapters/consul/client/client.ts";
import { ENTRIES_PARSER, SERVICES_PARSER } from "../../../adapters/consul/client/reply.ts";
import type { Answer, Query } from "../../../adapters/consul/client/request.ts";
import { datacenter } from "../../../adapters/consul/datacenter.ts";
import { consulOptions } from "../../../adapters/consul/options.ts";
import { intern } from "../../../adapters/intern.ts";
import { compileRules } from "../../../adapters/shapes/rules.ts";
import { ReadError } from "../../../src/errors.ts";
import { addresses, failures } from "./registry.ts";

const LIST = "/v1/catalog/services";
const NODES = "/v1/catalog/nodes";
const CHECKS = "/v1/health/state/any";
const LEADER = "/v1/status/leader";
const signal = new AbortController().signal;

interface Asked extends Query<unknown> {
  readonly path: string;
}

function instances(...of: readonly string[]): unknown {
  return of.map((address) => ({
    Node: { Node: "vm", Address: "192.0.2.99", Datacenter: "dc1" },
    Service: { ID: address, Address: address, Port: 80 },
    Checks: [],
  }));
}

interface Said {
  readonly text: string;
  readonly index: number;
  readonly filtered: boolean;
}

function answer(body: unknown, index: number, filtered = false): Said {
  return { text: JSON.stringify(body), index, filtered };
}

function parsed<Result>({ text, index, filtered }: Said, { parser }: Query<Result>): Answer<Result> {
  const result = () => {
    if (parser === undefined) throw new Error("only the index was asked for");
    return parser.parse(Buffer.from(text));
  };
  return { digest: () => text, result, index, filtered };
}

/** The reader of a datacenter whose Consul is a table of answers. */
function setUp(options: object = {}, names: readonly string[] = ["a", "b"]) {
  const services = new Map(names.map((name) => [name, { index: 10, addresses: ["192.0.2.1"] }]));
  const world = {
    services,
    indexes: { [LIST]: 10, [NODES]: 10, [CHECKS]: 10 } as Record<string, number>,
    leader: "192.0.2.200:8300",
    identity: 1,
    listed: () => ["consul", ...services.keys()],
    filtered: false,
    asked: [] as Asked[],
    /** What a request waits for, or fails with, before it is answered. */
    before: (_asked: Asked): void | Promise<void> => undefined,
    changed: [] as string[],
    doubts: 0,
    nowMs: 0,
    /** Paths that a proxy does not let through. */
    refused: new Set<string>(),
  };
  const client: ConsulClient = {
    async get(path, query) {
      const asked = { ...query, path };
      world.asked.push(asked);
      if (world.refused.has(path)) throw new ReadError("denied", "answered 403");
      const now = answerTo(path);
      await world.before(asked);
      return parsed(now, query);
    },
    indexes: async (paths) => paths.map((path) => answerTo(path).index),
    isMultiplexed: () => false,
    identity: () => world.identity,
    close() {},
  };
  function answerTo(path: string): Said {
    if (path === LEADER) return answer(world.leader, 0);
    const index = world.indexes[path];
    if (path === LIST)
      return answer(Object.fromEntries(world.listed().map((name) => [name, []])), index ?? 0, world.filtered);
    if (index !== undefined) return answer([], index);
    const one = services.get(path.slice("/v1/health/service/".length).toLowerCase());
    return one === undefined ? answer([], 10) : answer(instances(...one.addresses), one.index);
  }
  const pool = intern();
  const chosen = consulOptions.parse({ address: "http://192.0.2.1:8500", ...options });
  const rules = compileRules(chosen, true);
  const all = catalog({ registry: "dc1", namespace: "default", pool, rules, onChange() {} });
  const reader = datacenter({
    ...{ name: undefined, client, catalog: all, pool, rules, options: chosen },
    onRead: (name, hasChanged) => void (hasChanged && world.changed.push(name)),
    onDoubt: () => world.doubts++,
    clock: { nowMs: () => world.nowMs, sleep: () => new Promise(() => {}) },
  });
  return {
    ...{ world, reader, all },
    poll: async (...standing: readonly string[]) => {
      world.asked.length = 0;
      return reader.poll({ standing }, signal);
    },
    /** Poll while changes are told, of these services; without being waited for where `isBeside`. */
    pollWatched: async (isCovered: (name: string) => boolean, isBeside: object = {}) => {
      world.asked.length = 0;
      return reader.poll({ standing: [], isCovered, ...isBeside }, signal);
    },
    at: (name: string) => addresses(all.snapshot(), name),
    /** The services that were asked for since the last poll began. */
    reads: () =>
      world.asked.flatMap(({ path }) => (path.startsWith("/v1/health/service/") ? [path.split("/")[4] ?? ""] : [])),
    set(name: string, index: number, ...of: readonly string[]) {
      services.set(name, { index, addresses: [...of] });
    },
  };
}

type World = ReturnType<typeof setUp>;
const many = (count: number) => Array.from({ length: count }, (_, at) => `s${String(at).padStart(3, "0")}`);
const timedOut = () => new ReadError("timeout", "gave no answer within 10 ms");
const sure = ({ world }: World) => world.asked.filter(({ isSure }) => isSure === true).length;

test("a stale read whose index goes back is asked of the leader: what another server lags behind is not put back", async () => {
  const it = setUp({ consistency: "stale" });
  await it.poll();
  it.set("a", 20, "192.0.2.2");
  it.world.indexes[NODES] = 11;
  await it.poll();
  const newest = { index: 20, addresses: ["192.0.2.2"] };
  it.world.asked.length = 0;
  // The question is answered as things are when it is asked: the first by a server that lags behind, the second by the leader.
  it.set("a", 10, "192.0.2.1");
  it.world.before = ({ path }) => void (path.endsWith("/a") && it.world.services.set("a", newest));
  await it.reader.readService("a", signal);
  assert.deepEqual(
    it.world.asked.map(({ fromLeader }) => fromLeader),
    [false, true],
  );
  assert.deepEqual(it.at("a"), ["192.0.2.2"]);
  assert.equal(it.reader.isDoubtful(), false);
});

test("a stale read whose index goes back is believed when the leader says so, and doubted like any other", async () => {
  const it = setUp({ consistency: "stale" });
  await it.poll();
  it.set("a", 9, "192.0.2.2");
  await it.reader.readService("a", signal);
  assert.deepEqual(it.at("a"), ["192.0.2.2"]);
  assert.deepEqual([it.reader.isDoubtful(), it.world.doubts], [true, 1]);
});

test("poll() with other reads believes an index that goes back only surely, and reads all again", async () => {
  const it = setUp();
  await it.poll();
  it.world.indexes[NODES] = 11;
  it.set("a", 9, "192.0.2.2");
  assert.equal(await it.poll(), true);
  const again = it.world.asked.filter(({ path, isSure }) => path.startsWith("/v1/health/service/") && isSure === true);
  assert.deepEqual(again.map(({ path }) => path).sort(), ["/v1/health/service/a", "/v1/health/service/b"]);
  assert.equal(await it.poll(), false, "and is sure from then on");
  assert.equal(sure(it), 0);
});

for (const path of [LIST, NODES, CHECKS])
  test(`poll() doubts all when the index of ${path} goes back`, async () => {
    const it = setUp();
    await it.poll();
    assert.equal(it.reader.isDoubtful(), false);
    it.world.indexes[path] = 9;
    it.set("a", 10, "192.0.2.2");
    assert.equal(await it.poll(), true);
    assert.ok(sure(it) > 0);
    assert.deepEqual(it.at("a"), ["192.0.2.2"]);
  });

test("the first poll reads surely, and what is doubted by a blocking query is read surely too", async () => {
  const it = setUp();
  assert.equal(await it.poll(), true);
  const isAll = it.world.asked.every(({ path, isSure }) => path === LEADER || isSure === true);
  assert.equal(isAll, true);
  it.reader.doubt();
  assert.equal(await it.poll(), true);
  assert.ok(sure(it) > 0);
  assert.equal(await it.poll(), false);
  assert.equal(sure(it), 0);
});

test("a quiet poll that nobody waits beside reads what is due, and all within verifyEvery", async () => {
  const it = setUp({ verifyEvery: "5m" }, many(100));
  await it.poll();
  const read = new Set<string>();
  for (let round = 0; round < 10; round++) {
    it.world.nowMs += 30_000;
    await it.poll();
    assert.ok(it.reads().length >= 12 && it.reads().length <= 13, `${it.reads().length} reads`);
    for (const name of it.reads()) read.add(name);
  }
  assert.equal(read.size, 100);
});

test("a poll beside blocking queries reads what they do not tell of, and only where something has moved", async () => {
  const it = setUp({}, many(100));
  await it.poll();
  it.world.nowMs += 300_000;
  await it.pollWatched(() => false);
  assert.deepEqual(it.reads(), [], "nothing has moved, and others verify");
  it.world.indexes[NODES] = 11;
  await it.pollWatched((name) => name !== "s007");
  assert.deepEqual(it.reads(), ["s007"]);
});

test("a poll beside blocking queries reads all again where something is in doubt, if it is waited for", async () => {
  const it = setUp({}, many(10));
  await it.poll();
  it.world.indexes[NODES] = 9;
  await it.pollWatched(() => true, { isBeside: true });
  assert.deepEqual([it.reads(), it.reader.isDoubtful(), it.world.doubts], [[], true, 1]);
  await it.pollWatched(() => true, { isBeside: true });
  assert.deepEqual([it.reads(), it.reader.isDoubtful()], [[], true]);
  await it.pollWatched(() => true);
  assert.deepEqual([it.reads().length, it.reader.isDoubtful()], [10, false]);
});

test("a poll that nobody waits for leaves it in doubt when an index goes back while it reads", async () => {
  const it = setUp({}, many(3));
  await it.poll();
  it.world.indexes[NODES] = 11;
  it.set("s001", 9, "192.0.2.2");
  it.set("s003", 11, "192.0.2.3");
  it.world.indexes[LIST] = 11;
  await it.pollWatched(() => false, { isBeside: true });
  assert.equal(it.reader.isDoubtful(), true);
  assert.equal(it.reader.names().has("s003"), false, "its list is not taken over");
});

test("a poll whose list was overtaken by a blocking query's does not put the older one back", async () => {
  const it = setUp();
  await it.poll();
  it.world.indexes[LIST] = 11;
  it.world.before = async ({ path }) => {
    if (path !== LIST) return;
    it.set("c", 12, "192.0.2.3");
    it.world.before = () => undefined;
    await it.reader.acceptList(
      parsed(answer({ consul: [], a: [], b: [], c: [] }, 12), { dc: undefined, parser: SERVICES_PARSER }),
      signal,
    );
  };
  await it.pollWatched(() => true);
  assert.deepEqual([...it.reader.names()], ["a", "b", "c"]);
  assert.deepEqual(it.at("c"), ["192.0.2.3"]);
  assert.equal(it.reader.indexes().services, 12);
});

test("a list that says the same as before is taken in by its index alone", async () => {
  const it = setUp();
  await it.poll();
  const names = it.reader.names();
  const same = (index: number, filtered = false) =>
    it.reader.acceptList(
      parsed(answer({ consul: [], a: [], b: [] }, index, filtered), { dc: undefined, parser: SERVICES_PARSER }),
      signal,
    );
  await same(12);
  assert.equal(it.reader.names(), names);
  assert.equal(it.reader.indexes().services, 12);
  await same(13, true);
  assert.equal(it.reader.isDoubtful(), true, "the token may not see all of it any more");
});

test("a service is not read twice at once: what a hint asks for meanwhile is read once more", async () => {
  const it = setUp();
  await it.poll();
  it.world.asked.length = 0;
  const gate = Promise.withResolvers<void>();
  it.world.before = () => gate.promise;
  const reads = [1, 2, 3].map(() => it.reader.readService("a", signal));
  while (it.reads().length === 0) await turnOfLoop();
  await turnOfLoop();
  assert.deepEqual(it.reads(), ["a"]);
  it.world.before = () => undefined;
  gate.resolve();
  await Promise.all(reads);
  assert.deepEqual(it.reads(), ["a", "a"]);
});

const signs: readonly { readonly name: string; readonly act: (it: World) => void }[] = [
  { name: "another leader, with the same indexes", act: ({ world }) => (world.leader = "192.0.2.201:8300") },
  { name: "a leader that cannot be asked for any more", act: ({ world }) => world.refused.add(LEADER) },
  { name: "another token", act: ({ world }) => world.identity++ },
  { name: "another index of nodes", act: ({ world }) => (world.indexes[NODES] = 11) },
  { name: "another index of checks", act: ({ world }) => (world.indexes[CHECKS] = 11) },
  { name: "another index of the list", act: ({ world }) => (world.indexes[LIST] = 11) },
  { name: "an index that cannot be told", act: ({ world }) => (world.indexes[CHECKS] = 0) },
  { name: "a doubt", act: ({ reader }) => reader.doubt() },
];
for (const { name, act } of signs)
  test(`poll() reads all services after ${name}`, async () => {
    const it = setUp({}, many(30));
    await it.poll();
    act(it);
    for (const one of many(30)) it.set(one, 10, "192.0.2.2");
    await it.poll();
    for (const one of many(30)) assert.deepEqual(it.at(one), ["192.0.2.2"]);
  });

for (const [name, act] of [
  ["who leads cannot be asked", ({ world }: World) => world.refused.add(LEADER)],
  ["an index is not told", ({ world }: World) => (world.indexes[CHECKS] = 0)],
] as const)
  test(`poll() reads all services each time where ${name}`, async () => {
    const it = setUp({}, many(30));
    act(it);
    await it.poll();
    for (const address of ["192.0.2.2", "192.0.2.3"]) {
      for (const one of many(30)) it.set(one, 10, address);
      await it.poll();
      for (const one of many(30)) assert.deepEqual(it.at(one), [address]);
    }
  });

test("a quiet poll reads again what could not be read", async () => {
  const it = setUp({}, many(30));
  it.world.before = ({ path }) => {
    if (path.endsWith("/s005")) throw timedOut();
  };
  await it.poll();
  assert.deepEqual(Object.keys(failures(it.all.snapshot())), ["dc1/default/s005"]);
  it.world.before = () => undefined;
  await it.poll();
  assert.ok(it.reads().includes("s005"));
  assert.deepEqual(it.at("s005"), ["192.0.2.1"]);
});

test("a slow read does not put back what a blocking query has replaced meanwhile", async () => {
  const it = setUp();
  await it.poll();
  const gate = Promise.withResolvers<void>();
  let held = 1;
  it.world.before = ({ path }) => (path.endsWith("/a") && held-- > 0 ? gate.promise : undefined);
  const slow = it.reader.readService("a", signal);
  it.set("a", 20, "192.0.2.2");
  it.reader.acceptService("a", parsed(answer(instances("192.0.2.2"), 20), { dc: undefined, parser: ENTRIES_PARSER }));
  gate.resolve();
  await slow;
  assert.deepEqual(it.at("a"), ["192.0.2.2"]);
  assert.equal(it.reader.isDoubtful(), false, "that is no restore");
  assert.equal(it.reader.indexOf("a"), 20);
});

test("a slow read that shows the newer state is taken in", async () => {
  const it = setUp();
  await it.poll();
  const gate = Promise.withResolvers<void>();
  it.set("a", 30, "192.0.2.3");
  it.world.before = ({ path }) => (path.endsWith("/a") ? gate.promise : undefined);
  const slow = it.reader.readService("a", signal);
  it.reader.acceptService("a", parsed(answer(instances("192.0.2.2"), 20), { dc: undefined, parser: ENTRIES_PARSER }));
  gate.resolve();
  await slow;
  assert.deepEqual(it.at("a"), ["192.0.2.3"]);
  assert.deepEqual(it.world.changed, ["a", "a"]);
});

test("onRead() tells of a change only where index and content are other ones", async () => {
  const it = setUp();
  await it.poll();
  assert.deepEqual(it.world.changed, []);
  it.reader.acceptService("a", parsed(answer(instances("192.0.2.1"), 20), { dc: undefined, parser: ENTRIES_PARSER }));
  assert.deepEqual(it.world.changed, [], "the same content");
  it.reader.acceptService("a", parsed(answer(instances("192.0.2.2"), 21), { dc: undefined, parser: ENTRIES_PARSER }));
  assert.deepEqual(it.world.changed, ["a"]);
});

test("a Consul that does not answer is not asked for each of its services", async () => {
  const it = setUp({}, many(200));
  it.world.before = ({ path }) => {
    if (path.startsWith("/v1/health/service/")) throw timedOut();
  };
  await it.poll();
  assert.ok(it.reads().length >= 32 && it.reads().length < 32 + 16, `${it.reads().length} reads`);
  assert.equal(Object.keys(failures(it.all.snapshot())).length, 200);
});

test("services that do not answer now and then, and never in a row, do not keep the others from being asked for", async () => {
  const it = setUp({}, many(200));
  it.world.before = ({ path }) => {
    if (Number(path.slice(-3)) % 2 === 0) throw timedOut();
  };
  await it.poll();
  assert.equal(it.reads().length, 200);
  assert.equal(Object.keys(failures(it.all.snapshot())).length, 100);
});

test("services that a token may not read do not keep the others from being asked for", async () => {
  const it = setUp({}, many(200));
  it.world.before = ({ path }) => {
    if (/\/s1\d\d$/.test(path)) throw new ReadError("denied", "answered 403");
  };
  await it.poll();
  assert.equal(it.reads().length, 200);
});

test("an answer about a service that was filtered is a failure, not fewer instances", async () => {
  const it = setUp();
  await it.poll();
  assert.throws(
    () => it.reader.acceptService("a", parsed(answer([], 20, true), { dc: undefined, parser: ENTRIES_PARSER })),
    /needs node:read/,
  );
  assert.match(
    failures(it.all.snapshot())["dc1/default/a"] ?? "",
    /may not read all its instances \(needs node:read\)/,
  );
  assert.equal(it.reader.indexOf("a"), 0);
  it.reader.acceptService("a", parsed(answer(instances("192.0.2.1"), 20), { dc: undefined, parser: ENTRIES_PARSER }));
  assert.deepEqual(it.at("a"), ["192.0.2.1"], "the same content as before the failure");
});

test("a list that may lack names keeps what was listed: each service's own answer tells whether it is gone", async () => {
  for (const filtered of [true, false]) {
    const it = setUp();
    await it.poll();
    it.world.filtered = filtered;
    it.world.listed = () => (filtered ? ["consul", "a"] : ["a"]);
    it.world.indexes[LIST] = 11;
    await it.poll();
    const { incomplete } = it.all.snapshot();
    assert.match(incomplete ?? "", /the token may not read all services/);
    if (filtered) assert.deepEqual(it.at("b"), ["192.0.2.1"]);
    else assert.deepEqual(Object.keys(failures(it.all.snapshot())), ["dc1/default/b"]);
  }
});

test("a list that may lack names has those that stand asked for by name, also in a process that saw no other", async () => {
  for (const filtered of [true, false]) {
    const it = setUp();
    it.world.filtered = filtered;
    it.world.listed = () => (filtered ? ["consul", "a"] : ["a"]);
    await it.poll("A", "B", "gone");
    if (filtered) {
      assert.deepEqual(it.reads().toSorted(), ["B", "a", "gone"]);
      assert.deepEqual([it.at("B"), it.at("gone")], [["192.0.2.1"], []]);
    } else assert.deepEqual(Object.keys(failures(it.all.snapshot())).toSorted(), ["dc1/default/B", "dc1/default/gone"]);
  }
});

test("a whole list is believed: what stands and is not on it is not asked for", async () => {
  const it = setUp();
  await it.poll("a", "gone");
  assert.deepEqual(it.reads().toSorted(), ["a", "b"]);
  assert.equal(it.at("gone"), undefined);
});

test("a whole list that no longer names a service ends it", async () => {
  const it = setUp();
  await it.poll();
  it.world.services.delete("b");
  it.world.indexes[LIST] = 11;
  await it.poll();
  assert.equal(it.at("b"), undefined);
  assert.equal(it.all.snapshot().services.length, 1);
  assert.deepEqual([...it.reader.names()], ["a"]);
});

test("acceptList() reads what is new on it, and nothing else", async () => {
  const it = setUp();
  await it.poll();
  it.world.asked.length = 0;
  it.set("c", 12, "192.0.2.3");
  await it.reader.acceptList(
    parsed(answer({ consul: [], a: [], b: [], c: [] }, 12), { dc: undefined, parser: SERVICES_PARSER }),
    signal,
  );
  assert.deepEqual(it.reads(), ["c"]);
  assert.deepEqual(it.at("c"), ["192.0.2.3"]);
  assert.equal(it.reader.indexes().services, 12);
  assert.equal(it.reader.indexes().nodes, 10, "the other indexes are those of the last poll");
});

test("acceptList() leaves it to a poll what a list that became partial means", async () => {
  const it = setUp();
  await it.poll();
  await it.reader.acceptList(parsed(answer({ a: [] }, 12), { dc: undefined, parser: SERVICES_PARSER }), signal);
  assert.equal(it.reader.isDoubtful(), true);
});

test("changedOf() compares indexes with those of the last reads, also one that went back", async () => {
  const it = setUp();
  await it.poll();
  for (const [index, want] of [
    [10, false],
    [11, true],
    [9, true],
  ] as const) {
    it.set("a", index, "192.0.2.1");
    assert.deepEqual(await it.reader.changedOf(["b", "a"], signal), want ? ["a"] : [], `${index}`);
  }
});
