import assert from "node:assert/strict";
import { test } from "node:test";
import { documents } from "../generated.ts";
import { allRows, rowsIn, STRANGERS, securityTable } from "./table.ts";

test("the threat table in the docs is as the tests say", () => {
  const { is, should } = documents(securityTable);
  assert.equal(is, should, "run `npm run docs:security`");
});

test("the threat table has no two rows alike, and each stranger among them", () => {
  const rows = allRows();
  assert.equal(new Set(rows.map(({ who, attack }) => `${who}: ${attack}`)).size, rows.length);
  for (const who of STRANGERS)
    assert.ok(
      rows.some((row) => row.who === who),
      who,
    );
  for (const { attack, outcome, file } of rows) assert.doesNotMatch(attack + outcome, /[|\n]/, file);
});

const bad: readonly { readonly name: string; readonly source: string }[] = [
  { name: "a row that is computed", source: "test(securityRow(row), () => {});" },
  {
    name: "a row that names no test",
    source: 'const name = securityRow({ who: "network", attack: "a", outcome: "b" });',
  },
  { name: "an unknown stranger", source: 'test(securityRow({ who: "ghost", attack: "a", outcome: "b" }));' },
  { name: "a row without an outcome", source: 'test(securityRow({ who: "network", attack: "a" }));' },
];
for (const { name, source } of bad)
  test(`rowsIn() of the threat table refuses ${name}`, () =>
    assert.throws(() => rowsIn(source, "x.test.ts"), /Cannot read the row at x\.test\.ts:1/));

test("rowsIn() reads what a test shows of a stranger", () => {
  const source = 'test(securityRow({ who: "DNS client", attack: "a", outcome: "b" }, detail), () => {});';
  const want = [{ who: "DNS client", attack: "a", outcome: "b", file: "x.test.ts" }];
  assert.deepEqual(rowsIn(source, "x.test.ts"), want);
});
