import assert from "node:assert/strict";
import { test } from "node:test";
import { orderMoves } from "../../src/migrate/order.ts";
import { blocked, move } from "./moves.ts";

test("orderMoves() puts what is on its way first, then what could go by its number of callers", () => {
  const ordered = orderMoves([
    move("retired", { stage: "retired", weight: 100 }),
    move("unclaimed", { claimants: [], claim: undefined }),
    move("blocked", { blockers: [blocked] }),
    move("many", { callers: ["192.0.2.1", "192.0.2.2"] }),
    move("few", { callers: ["192.0.2.1"] }),
    move("half", { stage: "split", weight: 50 }),
    move("whole", { stage: "split", weight: 100 }),
  ]);
  assert.deepEqual(
    ordered.map(({ move: { service }, state, next }) => [service, state, next]),
    [
      ["vms/shop/half", "moving", "x2istio migrate split vms/shop/half --weight 100"],
      ["vms/shop/whole", "moving", "x2istio migrate move vms/shop/whole"],
      ["vms/shop/few", "ready", "x2istio migrate split vms/shop/few --weight 10"],
      ["vms/shop/many", "ready", "x2istio migrate split vms/shop/many --weight 10"],
      ["vms/shop/blocked", "blocked", blocked.message],
      [
        "vms/shop/unclaimed",
        "unclaimed",
        "no Service says that it replaces vms/shop/unclaimed: annotate the one that does with x2istio.dev/replaces: vms/shop/unclaimed, in a namespace that migration.allow lets claim it",
      ],
      ["vms/shop/retired", "done", "it is retired"],
    ],
  );
});

test("orderMoves() goes by the number of callers before the name, and by the name at last", () => {
  const ready = (name: string, count: number) =>
    move(name, { callers: Array.from({ length: count }, (_, n) => `192.0.2.${n}`) });
  const ordered = orderMoves([ready("a", 3), ready("c", 1), ready("d", 2), ready("b", 1)]);
  assert.deepEqual(
    ordered.map(({ move: { service } }) => service.split("/")[2]),
    ["b", "c", "d", "a"],
  );
});

for (const [weight, next] of [
  [0, "split vms/shop/a --weight 10"],
  [9, "split vms/shop/a --weight 10"],
  [10, "split vms/shop/a --weight 50"],
  [49, "split vms/shop/a --weight 50"],
  [50, "split vms/shop/a --weight 100"],
  [99, "split vms/shop/a --weight 100"],
  [100, "move vms/shop/a"],
] as const)
  test(`orderMoves() goes on from split ${weight} by ${next}`, () => {
    const [first] = orderMoves([move("a", { stage: "split", weight })]);
    assert.deepEqual([first?.state, first?.next], ["moving", `x2istio migrate ${next}`]);
  });

test("orderMoves() does not call a service unclaimed that someone claims in vain, nor one that is led", () => {
  const barred = { kind: "allow", message: "no" } as const;
  const states = [
    move("a", { claim: undefined, blockers: [barred] }),
    move("b", { claim: undefined, stage: "inside", weight: 100 }),
    move("c", { claim: undefined, claimants: [], stage: "split", weight: 10 }),
  ].map((one) => orderMoves([one])[0]?.state);
  assert.deepEqual(states, ["blocked", "done", "unclaimed"]);
});
