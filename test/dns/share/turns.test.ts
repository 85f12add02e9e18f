import assert from "node:assert/strict";
import { test } from "node:test";
import { turns } from "../../../src/dns/share/turns.ts";

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

test("turns() lets so much be done in a turn, and all wait in line", async () => {
  const shared = turns(4);
  const done: string[] = [];
  /** Does two things when it is its turn, as long as it has any. */
  const work = (name: string, count: number) => () => {
    let left = count;
    for (let n = 0; n < 2 && left > 0 && shared.take(); n++, left--) done.push(name);
    if (left > 0) shared.later(work(name, left));
  };
  assert.deepEqual(
    Array.from({ length: 6 }, () => shared.take()),
    [true, true, true, true, false, false],
  );
  for (const name of ["a", "b", "c"]) shared.later(work(name, 4));
  const turnsOf: string[] = [];
  for (let n = 0; n < 4; n++) {
    await turn();
    turnsOf.push(done.splice(0).join(""));
  }
  assert.deepEqual(turnsOf, ["aabb", "ccaa", "bbcc", ""]);
});
