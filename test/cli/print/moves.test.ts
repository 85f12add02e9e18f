import assert from "node:assert/strict";
import { test } from "node:test";
import { moveRows } from "../../../src/cli/print/moves.ts";
import { blocked, move } from "../../migrate/moves.ts";

test("moveRows() shows stage, weight, claimants and blockers", () => {
  assert.deepEqual(
    moveRows([move("stock", { stage: "split", weight: 10, blockers: [blocked], callers: ["a"] })]).slice(1),
    [["vms/shop/stock", "1", "split 10 %", "shop/stock-v2", blocked.message]],
  );
  assert.deepEqual(moveRows([move("stock", { claimants: [] })])[1]?.[3], "nobody");
});
