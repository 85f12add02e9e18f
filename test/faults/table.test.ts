import assert from "node:assert/strict";
import { test } from "node:test";
import { documents } from "../generated.ts";
import { allRows, faultTable, rowsIn, TARGETS } from "./table.ts";

test("the fault table in the docs is as the tests say", () => {
  const { is, should } = documents(faultTable);
  assert.equal(is, should, "run `npm run docs:faults`");
});

test("the fault table has at least 30 rows, no two of them alike, and each target among them", () => {
  const rows = allRows();
  assert.ok(rows.length >= 30, `${rows.length} rows`);
  assert.equal(new Set(rows.map(({ target, fault }) => `${target}: ${fault}`)).size, rows.length);
  for (const target of TARGETS) assert.ok(rows.filter((row) => row.target === target).length >= 3, target);
  for (const { fault, expect, file } of rows) assert.doesNotMatch(fault + expect, /[|\n]/, file);
});

const bad: readonly { readonly name: string; readonly source: string }[] = [
  { name: "a row that is computed", source: "test(faultRow(row), () => {});" },
  { name: "a row that names no test", source: 'const name = faultRow({ target: "static", fault: "a", expect: "b" });' },
  { name: "a row of an unknown target", source: 'test(faultRow({ target: "etcd", fault: "a", expect: "b" }));' },
  { name: "a row with a template", source: "test(faultRow({ target: `static`, fault: `a`, expect: `b` }));" },
  { name: "a row without what happens", source: 'test(faultRow({ target: "static", fault: "a" }));' },
];
for (const { name, source } of bad) {
  test(`rowsIn() refuses ${name}`, () => assert.throws(() => rowsIn(source, "x.test.ts"), /Cannot read the row at x/));
}

test("rowsIn() reads rows on one line and on several", () => {
  const source = `await t.test(faultRow({ target: "Consul", fault: "a \\"b\\"", expect: "c" }, name), () => {});
test(
  faultRow({
    target: "static",
    fault: "d",
    expect: "e",
    peer: "slime #389",
  }),
);`;
  assert.deepEqual(rowsIn(source, "x.test.ts"), [
    { target: "Consul", fault: 'a "b"', expect: "c", file: "x.test.ts" },
    { target: "static", fault: "d", expect: "e", peer: "slime #389", file: "x.test.ts" },
  ]);
});
