import assert from "node:assert/strict";
import { test } from "node:test";
import { intern } from "../../../adapters/intern.ts";
import { askAll } from "../../../adapters/polaris/ask.ts";
import { newState } from "../../../adapters/polaris/catalog-state.ts";
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
  const state = newState({
    ...{ registry: "prod", unhealthy: "drop", allUnhealthy: "drop", namespaces: ["shop"], maxInFlight: 1, client },
    ...{ judge: () => undefined, pool: intern(), rules: noRules },
  });
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
    await verify(state, entries, care, signal);
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
  await verify(state, entries, "hint", signal);
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
  await verify(state, entries, "poll", signal);
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
  await assert.rejects(verify(state, entries, "poll", signal), /the token may not read/);
  assert.equal(state.entries.size, 2);
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
