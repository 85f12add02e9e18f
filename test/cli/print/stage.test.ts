import assert from "node:assert/strict";
import { test } from "node:test";
import { stageLine } from "../../../src/cli/print/stage.ts";
import { AT_OUTSIDE } from "../../../src/plan/stages/standing-stage.ts";
import { ask, BETWEEN_MS, KEY, moving } from "../../plan/moving.ts";

test("stageLine() says that a step waits for the clients, which are told of it first", async () => {
  const move = moving();
  await move.settle();
  move.claim(ask("split", 10));
  await move.pass();
  const claimed = "outside; shop/orders-v2 claims it";
  assert.equal(
    stageLine(move.decide().stages.get(KEY), AT_OUTSIDE),
    `${claimed}, on its way to split 10, once all clients know where that leads`,
  );
  move.target.clockMs += BETWEEN_MS;
  assert.equal(stageLine(move.decide().stages.get(KEY), AT_OUTSIDE), `${claimed}; the next pass makes it split 10`);
});
