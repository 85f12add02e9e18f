import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ConsulClient } from "../../../adapters/consul/client/client.ts";
import { type Check, parseChecks } from "../../../adapters/consul/client/reply.ts";
import type { Answer } from "../../../adapters/consul/client/request.ts";
import type { Datacenter } from "../../../adapters/consul/datacenter.ts";
import { type SignOptions, watchSigns } from "../../../adapters/consul/signs.ts";
import { checksByPlace, movedServices } from "../../../adapters/consul/unhealthy.ts";
import { ReadError } from "../../../src/errors.ts";
import { until } from "../../until.ts";

const NODES = "/v1/catalog/nodes";
const CRITICAL = "/v1/health/state/critical";
const signal = new AbortController().signal;

const check = (service: string, id = `service:${service}`, node = "vm"): Check => ({ node, id, service });

const moves: readonly { name: string; before: readonly Check[]; now: readonly Check[]; want: readonly string[] }[] = [
  { name: "nothing", before: [check("a")], now: [check("a")], want: [] },
  { name: "one that came", before: [], now: [check("Web")], want: ["web"] },
  { name: "one that left", before: [check("a"), check("b")], now: [check("b")], want: ["a"] },
  { name: "one of another node", before: [check("a")], now: [check("a", "service:a", "vm2")], want: ["a"] },
  { name: "one of a node", before: [], now: [check("", "serfHealth")], want: [""] },
  { name: "an id that another service has now", before: [check("a", "x")], now: [check("b", "x")], want: ["a", "b"] },
];
for (const { name, before, now, want } of moves)
  test(`movedServices() names the services of ${name}`, () => {
    assert.deepEqual([...movedServices(checksByPlace(before), checksByPlace(now))].toSorted(), want);
  });

test("parseChecks() takes what is a list of checks, and nothing else", () => {
  const body = (value: unknown) => Buffer.from(JSON.stringify(value));
  const one = { Node: "vm", CheckID: "c", ServiceName: "web", Output: "refused" };
  assert.deepEqual(parseChecks(body([one, { Node: 7 }])), [
    { node: "vm", id: "c", service: "web" },
    { node: "", id: "", service: "" },
  ]);
  for (const other of [{}, [7], null]) assert.throws(() => parseChecks(body(other)), ReadError);
});

/** Signs whose answers the test gives. */
function setUp(t: TestContext) {
  const end = new AbortController();
  t.after(() => end.abort());
  type Options = Parameters<SignOptions["begin"]>[2];
  const begun = new Map<string, Options>();
  const world = {
    read: [] as string[],
    requests: [] as (number | undefined)[],
    looks: 0,
    services: 10,
    doubts: 0,
    fails: false,
  };
  const reader = {
    name: undefined,
    names: () => new Set(["a", "b"]),
    indexes: () => ({ services: 10, nodes: 10, checks: 10 }),
    readService: async (name: string) => void world.read.push(name),
    doubt: () => void world.doubts++,
  } as unknown as Datacenter;
  const client = {
    async get() {
      if (world.fails) throw new ReadError("server", "answered 500");
      return { index: world.services };
    },
  } as unknown as ConsulClient;
  const search = {
    request: (index?: number) => void world.requests.push(index),
    lookAround: () => void world.looks++,
    note() {},
    isWell: () => true,
  };
  const begin: SignOptions["begin"] = (path, _query, options) => void begun.set(path, options as unknown as Options);
  const signs = watchSigns({ reader, client, search, begin }, end.signal);
  const answer = (path: string, result: unknown, index: number) =>
    begun
      .get(path)
      ?.onChange({ digest: () => "", result: () => result, index, filtered: false } as Answer<never>, signal);
  return { world, signs, begun, answer };
}

test("a check that begins or ends to fail has its service read, if it is listed; after the first answer all are looked at", async (t) => {
  const { world, begun, answer } = setUp(t);
  assert.equal(begun.get(CRITICAL)?.index(), 0, "what fails now has to be known first");
  await answer(CRITICAL, [check("a")], 11);
  assert.deepEqual([world.read, world.looks], [[], 1]);
  await answer(CRITICAL, [check("a"), check("B"), check("other")], 12);
  await answer(CRITICAL, [check("B")], 13);
  assert.deepEqual(world.read, ["b", "a"]);
  assert.deepEqual([world.requests, world.looks], [[], 1]);
  assert.equal(begun.get(CRITICAL)?.index(), 13);
});

test("a check of a node, and a change of one, has all services looked at", async (t) => {
  const { world, begun, answer } = setUp(t);
  await answer(CRITICAL, [], 11);
  await answer(CRITICAL, [check("", "serfHealth")], 12);
  assert.equal(begun.get(NODES)?.index(), 10);
  await answer(NODES, undefined, 12);
  assert.deepEqual(world.requests, [undefined, undefined]);
  assert.deepEqual(world.read, []);
});

test("a registration is searched for by its index, once", async (t) => {
  const { world } = setUp(t);
  await delay(120);
  assert.deepEqual(world.requests, []);
  world.services = 17;
  await until(() => world.requests.length > 0);
  await delay(120);
  assert.deepEqual(world.requests, [17]);
});

test("an index of registrations that goes back is in doubt, though no blocking query tells", async (t) => {
  const { world } = setUp(t);
  world.services = 0;
  await delay(120);
  assert.equal(world.doubts, 0, "none is no index");
  world.services = 17;
  await until(() => world.requests.length > 0);
  world.services = 12;
  await until(() => world.doubts > 0);
  await delay(120);
  assert.deepEqual([world.doubts, world.requests], [1, [17]]);
});

test("signs say while one of them fails, and what it would have told is looked for", async (t) => {
  const { world, signs, begun, answer } = setUp(t);
  begun.get(CRITICAL)?.onFailure?.(new ReadError("answer", "is too large"));
  assert.deepEqual([signs.isWell(), world.looks], [false, 1]);
  await answer(CRITICAL, [], 11);
  assert.equal(signs.isWell(), true);
  world.fails = true;
  await until(() => !signs.isWell());
  world.fails = false;
  await until(() => signs.isWell());
});
