import assert from "node:assert/strict";
import { test } from "node:test";
import type { Asked } from "../../../src/model/demand.ts";
import type { Service } from "../../../src/model/service.ts";
import { decide } from "../../../src/plan/decide.ts";
import type { Decision } from "../../../src/plan/decision.ts";
import { planMemory } from "../../../src/plan/memory.ts";
import { decidePartly } from "../../../src/plan/partial.ts";
import { securityRow } from "../../security/row.ts";
import { failed, NOW_MS, readings, type Said, service, snapshot, standing } from "../build.ts";
import { config, type MemoryTarget, memoryTarget } from "../memory.ts";

/** A target, and what dc1, of which three services may stand, and dc2 make of it. */
function bench(rest: object = {}, sections: object = {}) {
  const settings = config([{ name: "dc1", maxServices: 3, ...rest }, "dc2"], sections);
  const target = memoryTarget();
  let memory = planMemory();
  const inputOf = (dc1: Said, dc2: Said, asked: ReadonlyMap<string, Asked> = new Map()) => ({
    readings: readings({ dc1, dc2 }),
    ...{ standing: target.standing(), nowMs: target.nowMs() },
    ...{ allowDeletes: new Set(["dc1", "dc2"]), asked },
  });
  return {
    ...{ settings, target, inputOf },
    partly: (dc1: Said, dc2: Said) =>
      decidePartly(settings, { ...inputOf(dc1, dc2), allowDeletes: new Set() }, new Set(), memory),
    look: (dc1: Said, dc2: Said = []) => decide(settings, inputOf(dc1, dc2)),
    async pass(dc1: Said, dc2: Said = [], asked?: ReadonlyMap<string, Asked>): Promise<Decision> {
      memory = planMemory();
      const decision = decide(settings, inputOf(dc1, dc2, asked), memory);
      await write(target, decision);
      return decision;
    },
  };
}

async function write(target: MemoryTarget, { ledger, plan }: Decision): Promise<void> {
  const options = { signal: new AbortController().signal, mayWrite: () => true };
  await target.writeLedger(ledger?.writes ?? [], options);
  await target.write([...plan.update, ...plan.create, ...plan.delete], options);
}

const listed = (...names: readonly string[]): readonly Service[] => names.map((name) => service(name));
const standsIn = ({ objects }: MemoryTarget) =>
  [...objects.keys()].map((key) => key.replace(/.*\/(\w+)\..*/, "$1")).sort();
const beyondOf = ({ beyond }: Decision) => [...beyond.keys()].map((key) => key.replace("dc1/shop/", "")).sort();
const saidOf = ({ plan }: Decision) => plan.hold.map(({ reason, message }) => `${reason}: ${message}`);

test("services beyond the limit of their registry are left out by their keys, with one reason for all", async () => {
  const { pass, target } = bench();
  const decision = await pass(listed("e", "c", "d", "a", "b"), [service("z", { registry: "dc2" })]);
  assert.deepEqual(standsIn(target), ["a", "b", "c", "z"]);
  assert.deepEqual(beyondOf(decision), ["d", "e"]);
  assert.deepEqual(saidOf(decision), [
    "limit: 2 services, such as dc1/shop/d, are left out: maxServices of registry dc1 is 3",
  ]);
  assert.deepEqual(decision.plan.hold[0]?.services, ["dc1/shop/d", "dc1/shop/e"]);
  assert.equal(decision.ledger?.vips.size, 4, "what is left out uses no VIP");
});

test(
  securityRow({
    who: "registry tenant",
    attack: "registers more services than the registry's maxServices",
    outcome: "those that stand keep their places and VIPs; what is beyond is one hold, and counted",
  }),
  async () => {
    const { pass, target } = bench();
    await pass(listed("x", "y", "z"));
    const decision = await pass(listed("a", "b", "x", "y", "z"));
    assert.deepEqual(
      [standsIn(target), beyondOf(decision)],
      [
        ["x", "y", "z"],
        ["a", "b"],
      ],
    );
  },
);

test("more services than a new limit allows go on standing", async () => {
  const { pass, target } = bench({ maxServices: 4 });
  await pass(listed("w", "x", "y", "z"));
  const lower = config([{ name: "dc1", maxServices: 2 }, "dc2"]);
  const said = readings({ dc1: [...listed("a"), ...listed("w", "x", "y"), service("z", { endpoints: [] })], dc2: [] });
  const decision = decide(lower, {
    ...{ readings: said, standing: target.standing(), nowMs: NOW_MS },
    ...{ allowDeletes: new Set() },
  });
  assert.deepEqual(beyondOf(decision), ["a"]);
  assert.deepEqual(
    decision.plan.update.map(({ object }) => object.service),
    ["dc1/shop/z"],
    "all is updated",
  );
});

test("a service that is gone has no place, though its entry stands for a while", async () => {
  const { pass, target, look } = bench();
  await pass(listed("a", "b", "c"));
  const decision = await pass(listed("b", "c", "d", "e"));
  assert.deepEqual([standsIn(target), beyondOf(decision)], [["a", "b", "c", "d"], ["e"]]);
  assert.deepEqual(beyondOf(look(listed("b", "c", "d", "e"))), ["e"]);
  assert.deepEqual(beyondOf(look(listed("a", "b", "c", "d"))), [], "one that returns has its entry");
});

test("a service that stands and cannot be read has its place", async () => {
  const { pass, look } = bench();
  await pass(listed("x", "y", "z"));
  assert.deepEqual(beyondOf(look([failed("dc1/shop/x"), ...listed("a", "y", "z")])), ["a"]);
  assert.deepEqual(beyondOf(look([failed("dc1/shop/b"), ...listed("a", "y", "z")])), [], "b has none, and x is gone");
});

test("a list that is known only in part gives no place of what it does not name to anybody", async () => {
  const { pass, settings, inputOf } = bench();
  await pass(listed("x", "y", "z"));
  const input = inputOf([], []);
  const partly = { state: "read", snapshot: snapshot("dc1", listed("a", "x"), "a page is missing") } as const;
  const decision = decide(settings, { ...input, readings: new Map([...input.readings, ["dc1", partly]]) });
  assert.deepEqual(beyondOf(decision), ["a"]);
});

test("what is left out takes no name from another registry", async () => {
  const { pass } = bench({ maxServices: 1 }, { hosts: { template: "{service}.{namespace}.mesh.internal" } });
  const decision = await pass(listed("a", "web"), [service("web", { registry: "dc2" })]);
  assert.equal(decision.naming.services.get("dc2/shop/web")?.host, "web.shop.mesh.internal");
  assert.deepEqual(saidOf(decision), ["limit: service dc1/shop/web is left out: maxServices of registry dc1 is 1"]);
});

test("of a registry that runs on demand, those that are asked for have the places", async () => {
  const { pass, target } = bench({ demand: "reported", maxServices: 1 });
  const asked = (...names: readonly string[]) =>
    new Map(names.map((name) => [`dc1/shop/${name}`, { lastMs: NOW_MS, by: [] } as unknown as Asked]));
  const first = await pass(listed("a", "b", "c"), [], asked("c"));
  assert.deepEqual([standsIn(target), beyondOf(first), saidOf(first)], [["c"], [], []]);
  const second = await pass(listed("a", "b", "c"), [], asked("a", "c"));
  assert.deepEqual([standsIn(target), beyondOf(second)], [["c"], ["a"]]);
  assert.ok(second.undemanded.has("dc1/shop/a") && second.naming.services.has("dc1/shop/a"), "its names are known");
});

test("a change of what is left out is decided in part, as nothing", async () => {
  const { pass, partly } = bench({ maxServices: 1 });
  await pass(listed("a", "b"));
  await pass(listed("a", "b"));
  const changed = [service("a"), service("b", { endpoints: [{ address: "192.0.2.9" }] })];
  const partial = partly(changed, []);
  assert.deepEqual([partial?.isUnfinished, partial?.decision.plan.update], [false, []]);
});

test("without a limit a catalog is as it was", () => {
  const settings = config(["dc1"]);
  const decision = decide(settings, {
    ...{ readings: readings({ dc1: listed("a", "b") }), standing: standing(), nowMs: NOW_MS },
    ...{ allowDeletes: new Set() },
  });
  assert.deepEqual([decision.beyond.size, decision.plan.hold], [0, []]);
});
