import assert from "node:assert/strict";
import { test } from "node:test";
import { nameChanges } from "../../../src/dns/ready/name-changes.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { table } from "../wire.ts";

const kept = { "kept.mesh.internal": { a: ["240.241.0.1"] } };
const before = table({ ...kept, "moved.mesh.internal": { a: ["240.241.0.2"] }, "gone.mesh.internal": {} }, 7);
const rows = table({ ...kept, "moved.mesh.internal": { a: ["240.241.0.3"] }, "new.mesh.internal": {} }, 8);
const names = new Map(rows.names);
names.set("kept.mesh.internal", before.names.get("kept.mesh.internal") ?? assert.fail());
const after: NameTable = { ...rows, names };
const all = { put: ["moved.mesh.internal", "new.mesh.internal"], gone: ["gone.mesh.internal"] };

const cases: readonly { title: string; changes?: NameTable["changes"]; want: typeof all }[] = [
  { title: "compares rows where the table tells no changes", want: all },
  {
    title: "takes the changes since that very table",
    changes: { since: 7, names: ["new.mesh.internal", "gone.mesh.internal"] },
    want: { put: ["new.mesh.internal"], gone: ["gone.mesh.internal"] },
  },
  ...[6, 8].map((since) => ({
    title: `compares rows where the changes are since table ${since}`,
    changes: { since, names: ["new.mesh.internal"] },
    want: all,
  })),
];
for (const { title, changes, want } of cases)
  test(`nameChanges() ${title}`, () => {
    const { put, gone } = nameChanges(before, changes === undefined ? after : { ...after, changes });
    assert.deepEqual({ put: put.map(({ name }) => name), gone }, want);
    for (const row of put) assert.equal(row, after.names.get(row.name));
  });

test("nameChanges() gives all rows where none were known", () => {
  const { put, gone } = nameChanges(undefined, after);
  assert.deepEqual([put.length, gone], [3, []]);
});
