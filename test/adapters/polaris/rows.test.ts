import assert from "node:assert/strict";
import { test } from "node:test";
import { intern } from "../../../adapters/intern.ts";
import { askAll, askInTurn } from "../../../adapters/polaris/ask.ts";
import { catalog } from "../../../adapters/polaris/catalog.ts";
import { newState, type State } from "../../../adapters/polaris/catalog-state.ts";
import type { Answer, Question } from "../../../adapters/polaris/client/answer.ts";
import type { PolarisClient } from "../../../adapters/polaris/client/client.ts";
import { newEntry } from "../../../adapters/polaris/entry.ts";
import { scopeOf } from "../../../adapters/polaris/scope.ts";
import { verify } from "../../../adapters/polaris/verify.ts";
import { ReadError } from "../../../src/errors.ts";
import { noRules } from "../no-rules.ts";

const { signal } = new AbortController();

/** The names `s0` … of a registry whose server answers as `answer` says. */
function setUp(count: number, answer: (name: string, asked: number) => Answer) {
  const asked: string[] = [];
  const client = {
    async discover(question: Question) {
      const name = question.type === "INSTANCE" ? question.name.name : "";
      asked.push(name);
      return answer(name, asked.length);
    },
    isNewServer: () => false,
  } as unknown as PolarisClient;
  const state: State = newState(
    {
      ...{ registry: "prod", unhealthy: "drop", allUnhealthy: "drop", namespaces: ["shop"], maxInFlight: 1, client },
      ...{ judge: () => undefined, pool: intern(), rules: noRules, verifyEvery: 300_000 },
    },
    (id, ending) => askInTurn(state, id, ending),
  );
  for (let at = 0; at < count; at++) {
    const entry = newEntry(`shop/s${at}`, { namespace: "shop", name: `s${at}` });
    state.entries.set(entry.id, entry);
  }
  const entries = [...state.entries.values()];
  const skipped = { infrastructure: 0, filter: 0, name: 0 };
  state.lists.set("shop", { revision: "1", ids: new Set(["shop/other"]), count: 1, skipped });
  return { state, entries, asked };
}

const unchanged: Answer = { state: "unchanged" };
const timedOut = () => new ReadError("timeout", "gave no answer");
const closed = () =>
  new ReadError("connection", "closed", { cause: Object.assign(new Error("closed"), { code: "ECONNRESET" }) });

test("askAll() asks for each name once while failures never come sixteen in a row", async () => {
  const { state, entries, asked } = setUp(200, (name) => {
    if (Number(name.slice(1)) % 16 !== 0) throw timedOut();
    return unchanged;
  });
  await askAll(state, entries, signal);
  assert.equal(asked.length, 200);
});

test("askAll() asks again for what was read well after sixteen in a row, and gives up when that fails too", async () => {
  const { state, entries, asked } = setUp(200, (name) => {
    if (name !== "s0") throw timedOut();
    return unchanged;
  });
  await askAll(state, entries, signal);
  assert.equal(asked.filter((name) => name === "s0").length, 1 + Math.floor(199 / 16));

  const other = setUp(200, (_name, count) => {
    if (count > 1) throw timedOut();
    return unchanged;
  });
  await assert.rejects(askAll(other.state, other.entries, signal), /one request after the other failed/);
  assert.equal(other.asked.length, 1 + 16 + 1);
});

test("verify() removes a name on which the server closes the connection after three polls in a row, and on no hint", async () => {
  let how: "closed" | "timeout" = "closed";
  const { state, entries } = setUp(1, () => {
    throw how === "closed" ? closed() : timedOut();
  });
  const step = async (care: "poll" | "hint", next: typeof how) => {
    how = next;
    await verify(state, { missing: entries, others: [] }, care, signal);
    return state.entries.has("shop/s0");
  };
  assert.equal(await step("poll", "closed"), true);
  assert.equal(await step("poll", "closed"), true);
  for (let hints = 0; hints < 5; hints++) assert.equal(await step("hint", "closed"), true);
  assert.equal(await step("poll", "timeout"), true, "which begins the count anew");
  assert.equal(await step("poll", "closed"), true);
  assert.equal(await step("poll", "closed"), true);
  assert.equal(await step("poll", "closed"), false);
});

test("verify() removes what the server does not know, and keeps what it answers for", async () => {
  const { state, entries } = setUp(3, (name) => {
    if (name === "s1") return unchanged;
    if (name === "s2") throw timedOut();
    return { state: "absent" };
  });
  await verify(state, { missing: entries, others: [] }, "hint", signal);
  assert.deepEqual([...state.entries.keys()], ["shop/s1", "shop/s2"]);
  assert.match(state.entries.get("shop/s2")?.failure?.message ?? "", /gave no answer/);
});

test("verify() removes nothing on an empty list as long as the server knows one of those that were listed", async () => {
  const { state, entries } = setUp(2, (name) => (name === "s1" ? unchanged : { state: "absent" }));
  state.lists.set("shop", {
    revision: "2",
    ids: new Set(),
    count: 0,
    skipped: { infrastructure: 0, filter: 0, name: 0 },
  });
  await verify(state, { missing: entries, others: [] }, "poll", signal);
  assert.equal(state.entries.size, 2);
  assert.match(state.entries.get("shop/s0")?.failure?.message ?? "", /is not known, but no list has those that are/);
});

test("verify() is refused as a whole where no service is listed any more and the token may not read", async () => {
  const { state, entries } = setUp(2, () => {
    throw new ReadError("denied", "answered 403");
  });
  state.lists.set("shop", {
    revision: "2",
    ids: new Set(),
    count: 0,
    skipped: { infrastructure: 0, filter: 0, name: 0 },
  });
  await assert.rejects(verify(state, { missing: entries, others: [] }, "poll", signal), /the token may not read/);
  assert.equal(state.entries.size, 2);
});

test("verify() has the others asked for before it counts that the server closes the connection on a name", async () => {
  const { state, entries, asked } = setUp(3, () => {
    throw closed();
  });
  const [gone, ...others] = entries;
  if (gone === undefined) throw new Error("there are three");
  for (let polls = 0; polls < 5; polls++) {
    asked.length = 0;
    await verify(state, { missing: [gone], others }, "poll", signal);
    assert.deepEqual(asked, ["s0", "s1", "s2"]);
  }
  assert.equal(state.entries.has("shop/s0"), true, "it closes on the others too");
});

test("a name whose turn it is fails if it cannot be read while others can", async () => {
  let isOut = false;
  const { state, asked } = setUp(3, (name) => {
    if (isOut || name === "s1") throw timedOut();
    return unchanged;
  });
  await state.turns.read("shop/s0", signal);
  await state.turns.read("shop/s1", signal);
  assert.deepEqual(asked, ["s0", "s1", "s0"], "s0 was read well last");
  assert.match(state.entries.get("shop/s1")?.failure?.message ?? "", /gave no answer/);
  isOut = true;
  await state.turns.read("shop/s2", signal);
  assert.equal(state.entries.get("shop/s2")?.failure, undefined, "of a failure of all a poll tells");
  await state.turns.read("shop/s0", signal);
  assert.notEqual(state.entries.get("shop/s0")?.failure, undefined, "nothing else can tell");
});

test("a name whose turn it is, and that the server does not know, is left to the next poll", async () => {
  let answer: Answer = { state: "absent" };
  const { state } = setUp(2, () => answer);
  await state.turns.read("shop/s0", signal);
  assert.deepEqual([[...state.suspects], state.entries.has("shop/s0")], [["shop/s0"], true]);
  answer = unchanged;
  await state.turns.read("shop/s0", signal);
  assert.deepEqual([...state.suspects], []);
});

test("a name that is being asked for is not asked for in turn, and one that is gone neither", async () => {
  const { state, entries, asked } = setUp(1, () => unchanged);
  for (const entry of entries) entry.isBeingAsked = true;
  await state.turns.read("shop/s0", signal);
  await state.turns.read("shop/gone", signal);
  assert.deepEqual(asked, []);
});

/** A catalog of namespace shop whose server lists these names and answers as `answer` says. */
async function catalogOf(names: readonly string[], answer: (name: string) => Answer) {
  const world = { names, asked: [] as string[] };
  const client = {
    async discover(question: Question): Promise<Answer> {
      const services = world.names.map((name) => ({ namespace: "shop", name }));
      const reply = { revision: `${world.names}`, services, instances: [], metadata: {}, alias: undefined };
      if (question.type !== "INSTANCE") return { state: "ok", reply } as unknown as Answer;
      world.asked.push(question.name.name);
      return answer(question.name.name);
    },
    isNewServer: () => false,
  } as unknown as PolarisClient;
  const known = catalog({
    ...{ registry: "prod", unhealthy: "drop", allUnhealthy: "drop", namespaces: ["shop"], maxInFlight: 1, client },
    ...{ judge: () => undefined, pool: intern(), rules: noRules, verifyEvery: 300_000 },
  });
  return Object.assign(world, {
    known,
    async poll(isWatched: boolean): Promise<readonly string[]> {
      world.asked = [];
      await known.poll(signal, [], isWatched);
      return world.asked.toSorted();
    },
  });
}

const instances = (revision: string): Answer =>
  ({
    state: "ok",
    reply: { revision, services: [], instances: [], metadata: {}, alias: undefined },
  }) as unknown as Answer;

test("poll() asks for all names; while all are asked for in turn, for those that are new, failed or in doubt", async () => {
  let failing = "";
  let absent = "";
  const it = await catalogOf(["a", "b", "c"], (name) => {
    if (name === failing) throw timedOut();
    return name === absent ? { state: "absent" } : instances("1");
  });
  assert.deepEqual(await it.poll(false), ["a", "b", "c"]);
  assert.deepEqual(await it.poll(false), ["a", "b", "c"]);
  assert.deepEqual(await it.poll(true), []);
  it.names = ["a", "b", "c", "d"];
  assert.deepEqual(await it.poll(true), ["d"]);
  failing = "b";
  assert.equal((await it.poll(false)).length, 4);
  assert.deepEqual(await it.poll(true), ["b"]);
  failing = "";
  assert.deepEqual(await it.poll(true), ["b"]);
  assert.deepEqual(await it.poll(true), [], "it was read well");
  const a = it.known.entries.get("shop/a");
  failing = "a";
  await assert.rejects(async () => it.known.askAgain(a ?? assert.fail(), signal), ReadError);
  assert.equal(a?.failure, undefined, "a failure on a hint proves nothing");
  assert.deepEqual(await it.poll(true), ["a"]);
  assert.notEqual(a?.failure, undefined);
  failing = "";
  await it.poll(true);
  absent = "c";
  const entry = it.known.entries.get("shop/c");
  if (entry === undefined) throw new Error("it was listed");
  assert.deepEqual(await it.known.askAgain(entry, signal), { listed: false });
  assert.deepEqual(await it.poll(true), ["c"]);
  assert.match(it.known.entries.get("shop/c")?.failure?.message ?? "", /is listed, but the server answers/);
});

for (const [namespace, name, namespaces, want] of [
  ["Polaris", "polaris.checker", undefined, "infrastructure"],
  ["Polaris", "orders", undefined, undefined],
  ["shop", "polaris.checker", undefined, undefined],
  ["polaris", "polaris.checker", undefined, undefined],
  ["shop", "orders", ["shop"], undefined],
  ["shop", "orders", ["Shop", "other"], "filter"],
  ["shop", "orders-canary", undefined, "filter"],
  ["shop", "orders ", undefined, "name"],
  ["shop ", "orders", undefined, "name"],
  ["shop", "x".repeat(253), undefined, undefined],
  ["shop", "x".repeat(254), undefined, "name"],
] as const)
  test(`scopeOf() takes ${namespace}/${name.slice(0, 20)} of ${name.length} in ${namespaces ?? "all"} for ${want ?? "asked for"}`, () => {
    const services = { include: ["*"], exclude: ["*-canary"] };
    assert.equal(
      scopeOf({ namespaces: namespaces === undefined ? undefined : [...namespaces], services })({ namespace, name }),
      want,
    );
  });
