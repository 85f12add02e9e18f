import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Shares, shares } from "../../../src/dns/share/shares.ts";
import { sized } from "../../size.ts";

type Step = readonly ["add" | "touch" | "remove", client: number, item: number];
const steps = fc.array(
  fc.tuple(fc.constantFrom("add", "add", "touch", "remove"), fc.nat(4), fc.nat(30)) as fc.Arbitrary<Step>,
  { maxLength: 200 },
);

/** The same, as slow and simple as can be: of each client its items, the oldest first. */
function check(run: readonly Step[], most: number, mostOfOne: number): void {
  const model = new Map<string, string[]>();
  const of = (client: string) => model.get(client) ?? [];
  const dropped: string[] = [];
  const shared: Shares<string> = shares({
    ...{ most, mostOfOne },
    drop(item) {
      dropped.push(item);
      return undefined;
    },
  });
  for (const [what, number, at] of run) {
    const [client, item] = [`c${number}`, `c${number} ${at}`];
    const had = of(client).includes(item);
    const without = of(client).filter((one) => one !== item);
    shared[what](client, item);
    if (what === "remove") model.set(client, without);
    else if (what === "add" || had) model.set(client, [...without, item]);
    for (const lost of dropped.splice(0)) {
      const [owner = ""] = lost.split(" ");
      const largest = Math.max(...[...model.values()].map(({ length }) => length));
      assert.ok(of(owner).length === largest || of(owner).length > mostOfOne, "of who has most");
      assert.equal(of(owner)[0], lost, "the oldest");
      model.set(owner, of(owner).slice(1));
    }
    const all = [...model.values()];
    const size = all.flat().length;
    assert.equal(shared.size(), size);
    assert.ok(size <= most && all.every(({ length }) => length <= mostOfOne));
  }
}

test("shares() takes the oldest of who has most, and nothing while there is room", () => {
  fc.assert(fc.property(steps, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 }), check), {
    numRuns: sized(2000),
  });
});

test("shares() gives a dropped item to the client that is named", () => {
  const given = new Map([["a1", "b"]]);
  const shared = shares<string>({ most: 2, drop: (item) => given.get(item) });
  for (const item of ["a1", "a2", "a3"]) shared.add("a", item);
  assert.equal(shared.size(), 2, "a1 is b's, and a2 made room");
  assert.deepEqual([shared.victim("b"), shared.victim("c"), shared.victim("a")], ["a1", "a1", "a3"]);
});

test("victim() is nobody while there is room", () => {
  const shared = shares<string>({ most: 2, mostOfOne: 1, drop: () => undefined });
  assert.equal(shared.victim("a"), undefined);
  shared.add("a", "a1");
  assert.deepEqual([shared.victim("a"), shared.victim("b")], ["a1", undefined]);
});
