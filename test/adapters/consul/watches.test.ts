import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate as turnOfLoop } from "node:timers/promises";
import type { ConsulClient } from "../../../adapters/consul/client/client.ts";
import type { Answer, Query } from "../../../adapters/consul/client/request.ts";
import type { Datacenter } from "../../../adapters/consul/datacenter.ts";
import { consulMetrics } from "../../../adapters/consul/metrics.ts";
import { instancesQuery } from "../../../adapters/consul/service-reads.ts";
import { watchesOf } from "../../../adapters/consul/watches.ts";
import { ReadError } from "../../../src/errors.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { until } from "../../until.ts";

const LIST = "/v1/catalog/services";
const NODES = "/v1/catalog/nodes";
const CRITICAL = "/v1/health/state/critical";
const WARNING = "/v1/health/state/warning";

/** Blocking queries of a datacenter with these services; each waits until the test answers it. */
async function setUp(t: TestContext, { names = ["a", "b", "c", "d"], maxConnections = 7, isMultiplexed = false } = {}) {
  const waiting = new Map<
    string,
    { readonly answer: (index: number) => void; readonly fail: (error: Error) => void }
  >();
  const world = {
    names: new Set(names),
    indexes: { services: 10, nodes: 10, checks: 10 },
    registrations: 10,
    doubts: 0,
    accepted: [] as string[],
    probed: [] as string[],
    verifying: 0,
    /** Queries that were sent. */
    sent: 0,
    /** What a query is answered with at once. */
    refuse: (_path: string): Error | undefined => undefined,
  };
  const client: ConsulClient = {
    async get<Result>(path: string, query: Query<Result>, signal: AbortSignal) {
      if (query.params?.["node-meta"] !== undefined)
        return { digest: () => "", result: () => [] as Result, index: world.registrations, filtered: false };
      world.sent++;
      const refused = world.refuse(path);
      if (refused !== undefined) throw refused;
      const { promise, resolve, reject } = Promise.withResolvers<Answer<Result>>();
      const own = {
        answer: (index: number) => resolve({ digest: () => "", result: () => [] as Result, index, filtered: false }),
        fail: reject,
      };
      const key = query.index === undefined ? `${path} plain` : path;
      waiting.set(key, own);
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        return await promise;
      } finally {
        signal.removeEventListener("abort", onAbort);
        if (waiting.get(key) === own) waiting.delete(key);
      }
    },
    async indexes(paths) {
      return paths.map(() => world.indexes.services);
    },
    isMultiplexed: () => isMultiplexed,
    identity: () => 1,
    close() {},
  };
  const reader: Datacenter = {
    name: undefined,
    poll: async () => false,
    async verify(ending) {
      world.verifying++;
      ending.addEventListener("abort", () => world.verifying--, { once: true });
    },
    lose() {},
    async acceptList(answer) {
      world.indexes = { ...world.indexes, services: answer.index };
    },
    acceptService: (name) => void world.accepted.push(name),
    readService: async () => {},
    async changedOf(of) {
      world.probed.push(...of);
      return [];
    },
    names: () => world.names,
    pathOf: (name) => `/v1/health/service/${name}`,
    instancesQuery: instancesQuery({}),
    indexOf: () => 10,
    indexes: () => world.indexes,
    doubt() {
      world.doubts++;
    },
    isDoubtful: () => false,
  };
  const metrics = consulMetrics(createMetrics(), "dc1");
  const watches = watchesOf({ reader, client, metrics, maxConnections, waitMs: 0 });
  t.after(() => watches.stop());
  const settle = async () => {
    for (let turn = 0; turn < 20; turn++) await turnOfLoop();
  };
  return {
    ...{ world, watches, waiting, settle },
    /** The services that have a query of their own. */
    services: () =>
      [...waiting.keys()].flatMap((path) => (path.startsWith("/v1/health/service/") ? [path.slice(19)] : [])).sort(),
    changed: async (...of: readonly string[]) => {
      for (const name of of) watches.onRead(name, true);
      await settle();
    },
  };
}

test("start() waits for the list and for signs, once, and stop() ends all", async (t) => {
  const { world, watches, waiting, settle, changed } = await setUp(t);
  watches.start();
  watches.start();
  await settle();
  assert.equal(world.sent, 4);
  assert.deepEqual([...waiting.keys()].sort(), [LIST, NODES, `${CRITICAL} plain`, `${WARNING} plain`].sort());
  await changed("a");
  watches.stop();
  await settle();
  assert.deepEqual([...waiting.keys()], []);
  watches.start();
  await settle();
  assert.equal(waiting.size, 4, "and it can be started again");
  assert.equal(world.verifying, 1, "all services are verified meanwhile");
});

test("where queries share connections each service has one, and no sign is followed", async (t) => {
  const { watches, waiting, settle, services, world } = await setUp(t, { isMultiplexed: true, maxConnections: 4 });
  watches.start();
  await settle();
  assert.deepEqual(services(), ["a", "b", "c", "d"]);
  assert.equal(waiting.has(NODES), false);
  world.names = new Set(["b", "c", "d", "e"]);
  watches.polled(false);
  await settle();
  assert.deepEqual(services(), ["b", "c", "d", "e"]);
});

test("elsewhere those have one that changed last, as many as there is room for beside the signs", async (t) => {
  const { watches, services, changed } = await setUp(t, { maxConnections: 7 });
  watches.start();
  await changed("a", "b", "c");
  assert.deepEqual(services(), ["a", "b", "c"]);
  await changed("d");
  assert.deepEqual(services(), ["b", "c", "d"], "the one that changed longest ago gives way");
  await changed("b", "a");
  assert.deepEqual(services(), ["a", "b", "d"], "one that changes again stays");
});

test("where queries share connections, too, an index of registrations that goes back is in doubt", async (t) => {
  const { world, watches } = await setUp(t, { isMultiplexed: true });
  watches.start();
  // A list has told of a registration; then Consul was restored, before the first question, to what it was at the beginning.
  world.indexes = { services: 12, nodes: 10, checks: 10 };
  world.registrations = 10;
  await until(() => world.doubts > 0);
});

test("a service is covered while its query waits, not before and not after a failure", async (t) => {
  const { world, watches, waiting, settle } = await setUp(t, { isMultiplexed: true });
  assert.deepEqual([watches.isRunning(), watches.covers("a")], [false, false]);
  watches.start();
  await settle();
  assert.deepEqual([watches.isRunning(), watches.covers("a"), watches.covers("gone")], [true, true, false]);
  waiting.get("/v1/health/service/a")?.answer(11);
  await settle();
  assert.equal(watches.covers("a"), true);
  world.refuse = () => new ReadError("connection", "refused");
  waiting.get("/v1/health/service/a")?.fail(new ReadError("connection", "reset"));
  await settle();
  assert.deepEqual([watches.covers("a"), watches.covers("b")], [false, true]);
  world.refuse = () => undefined;
  waiting.get("/v1/health/service/b")?.fail(new ReadError("connection", "reset"));
  await until(() => waiting.has("/v1/health/service/b plain"));
  assert.equal(watches.covers("b"), false, "what there is now is not known yet");
  waiting.get("/v1/health/service/b plain")?.answer(11);
  await until(() => watches.covers("b"));
  watches.stop();
  assert.equal(watches.covers("b"), false);
});

test("without room beside the signs no service has one", async (t) => {
  for (const maxConnections of [1, 4]) {
    const { watches, services, changed } = await setUp(t, { maxConnections });
    watches.start();
    await changed("a", "b");
    assert.deepEqual(services(), []);
    watches.stop();
  }
});

test("what has not changed, or is not listed, gets none; what is listed no more loses it", async (t) => {
  const { world, watches, services, changed, settle } = await setUp(t);
  watches.start();
  watches.onRead("a", false);
  await changed("gone");
  assert.deepEqual(services(), []);
  await changed("a", "b");
  world.names = new Set(["b", "c"]);
  watches.polled(false);
  await settle();
  assert.deepEqual(services(), ["b"]);
});

test("an index that went backwards is doubted; a poll that saw it begins all anew", async (t) => {
  const { world, watches, waiting, settle, changed, services } = await setUp(t);
  watches.start();
  await changed("a");
  waiting.get(NODES)?.answer(9);
  await settle();
  assert.equal(world.doubts, 1);
  assert.ok(waiting.has(`${NODES} plain`));
  world.indexes = { services: 9, nodes: 9, checks: 9 };
  watches.polled(true);
  await settle();
  assert.ok(waiting.has(NODES));
  assert.deepEqual(services(), [], "they come again as they change");
});

test("a change of the list or of nodes has all looked at, those last that have a query of their own", async (t) => {
  for (const path of [NODES, LIST]) {
    const { world, watches, waiting, changed } = await setUp(t);
    watches.start();
    await changed("b");
    waiting.get(path)?.answer(11);
    await until(() => world.probed.length >= 4);
    assert.deepEqual(world.probed.toSorted(), ["a", "b", "c", "d"]);
    assert.equal(world.probed.at(-1), "b");
    watches.stop();
  }
});

test("after a poll that saw something move all are looked at, if no sign told of it", async (t) => {
  const { world, watches, settle } = await setUp(t);
  watches.start();
  watches.polled(false);
  await settle();
  assert.deepEqual(world.probed, []);
  world.indexes = { services: 10, nodes: 10, checks: 11 };
  watches.polled(false);
  await until(() => world.probed.length >= 4);
});

test("elsewhere all services are covered as long as the signs and the search meet no failure", async (t) => {
  const { world, watches, waiting, settle } = await setUp(t);
  watches.start();
  await settle();
  assert.equal(watches.covers("a"), true);
  world.refuse = () => new ReadError("server", "answered 500");
  waiting.get(NODES)?.fail(new ReadError("server", "answered 500"));
  await settle();
  assert.equal(watches.covers("a"), false);
});

test("a change of a service that has a query is taken in", async (t) => {
  const { world, watches, waiting, settle, changed } = await setUp(t);
  watches.start();
  await changed("b");
  waiting.get("/v1/health/service/b")?.answer(11);
  await settle();
  assert.deepEqual(world.accepted, ["b"]);
});

test("where Consul takes no more connections half as many do, and five more are tried with each poll", async (t) => {
  const names = Array.from({ length: 30 }, (_, at) => `s${String(at).padStart(2, "0")}`);
  const { world, watches, services, changed, settle } = await setUp(t, { names, maxConnections: 100 });
  watches.start();
  await changed(...names.slice(0, 20));
  assert.equal(services().length, 20);
  world.refuse = (path) => (path.endsWith("/s20") ? new ReadError("server", "GET answered 429: slow down") : undefined);
  await changed("s20");
  assert.deepEqual(services(), names.slice(10, 20), "those that changed last");
  world.refuse = () => undefined;
  await changed("s21", "s22");
  assert.equal(services().length, 10);
  watches.polled(false);
  await changed(...names.slice(21));
  assert.equal(services().length, 15);
  await settle();
});
