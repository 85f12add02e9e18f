import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { jsonText } from "../../src/http/json.ts";
import { sized } from "../size.ts";

test("jsonText() gives what JSON.stringify() gives with two spaces", async () => {
  const run = fc.asyncProperty(fc.jsonValue(), async (value) => {
    assert.equal(await jsonText(value), JSON.stringify(value, null, 2));
  });
  await fc.assert(run, { numRuns: sized(500) });
});

const cases: readonly unknown[] = [
  {},
  [],
  { none: undefined },
  { list: [], rows: [undefined, { text: "two\nlines" }, [1, [2]]], none: undefined },
  { ready: true, reasons: [] },
];
for (const value of cases) {
  test(`jsonText() gives the same for ${JSON.stringify(value)}`, async () => {
    assert.equal(await jsonText(value), JSON.stringify(value, null, 2));
  });
}

test("jsonText() lets the event loop turn while it writes a long list", async () => {
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  const text = jsonText({ rows: Array.from({ length: 200_000 }, (_, at) => ({ at, name: `orders-${at}` })) });
  await text;
  clearInterval(turn);
  assert.ok(turns > 0);
});
