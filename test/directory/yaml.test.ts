import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parse, parseAllDocuments } from "yaml";
import { parseYaml, toYaml } from "../../src/directory/yaml.ts";
import { sized } from "../size.ts";

const text = fc.oneof(
  fc.string({ unit: "binary" }).filter((value) => value.isWellFormed()),
  fc.constantFrom(
    "",
    "yes",
    "No",
    "null",
    "~",
    "1",
    "1.5",
    "0x1f",
    "1e3",
    "010",
    "12:30:45",
    "2026-11-21",
    ".inf",
    "a: b",
    "- a",
    "# a",
    "'",
    '"',
    "{}",
    "[]",
    "240.241.0.7",
    "2001:db8::",
    "a:",
    "---",
    "a\n---\nb",
    "x: 1\n",
    " a ",
    "*",
    "&a",
    "!a",
    "%a",
    "@a",
    "tcp",
  ),
);
const scalar = fc.oneof(text, fc.integer(), fc.boolean(), fc.constant(null));
const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(text, tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
}));
const document = fc.dictionary(
  text.filter((key) => key.length < 300),
  anyValue,
  { minKeys: 1, maxKeys: 5, noNullPrototype: true },
);

test("toYaml() writes what a YAML 1.2 and a YAML 1.1 reader read as the same data", () => {
  fc.assert(
    fc.property(document, (value) => {
      const written = toYaml(value);
      assert.deepEqual(parse(written), value);
      assert.deepEqual(parse(written, { version: "1.1", merge: false }), value);
    }),
    { numRuns: sized(300) },
  );
});

test("parseYaml() reads what toYaml() wrote", () => {
  fc.assert(
    fc.property(fc.array(document, { minLength: 1, maxLength: 3 }), (values) => {
      const read = parseYaml(values.map(toYaml).join("---\n"));
      assert.ok("documents" in read);
      assert.deepEqual(
        read.documents.map(({ value }) => value),
        values,
      );
    }),
    { numRuns: sized(300) },
  );
});

test("toYaml() writes equal data alike, whatever the order of its keys", () => {
  assert.equal(
    toYaml({ spec: { b: 1, a: [{ y: 1, name: "x" }] }, kind: "A" }),
    toYaml({ kind: "A", spec: { a: [{ name: "x", y: 1 }], b: 1 } }),
  );
  assert.equal(
    toYaml({ spec: { hosts: ["a.b"] }, metadata: { labels: {}, name: "a" }, kind: "A", apiVersion: "v1" }),
    "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  labels: {}\nspec:\n  hosts:\n    - a.b\n",
  );
});

const foreignForms = [
  "",
  "\n",
  "# nothing\n",
  "a: 1\n",
  "---\na: 1\n",
  "a: 1",
  "a:\n- 1\n-  2\n",
  "a: yes\nb: 'x'\n",
  "a: |\n  text\n",
  "{a: 1}\n",
  "a: 1 # why\n---\n# only a comment\n---\nb: 2\n...\n",
  "a: 1\r\n---\r\nb: 2\r\n",
  "\uFEFFa: 1\n",
  "&x a: *x\n",
  "a: &x 1\nb: *x\n",
  "a: 1.0\n",
  "a: 0x10\n",
  '"a": "\\u0041"\n',
  "- 1\n- 2\n",
];
for (const form of foreignForms) {
  test(`parseYaml() reads ${JSON.stringify(form)} as the YAML parser does`, () => {
    const read = parseYaml(form);
    assert.ok("documents" in read);
    const wanted = [...parseAllDocuments(form)]
      .map((parsed) => parsed.toJS() as unknown)
      .filter((value) => value !== null);
    assert.deepEqual(
      read.documents.map(({ value }) => value),
      wanted,
    );
    assert.deepEqual(
      read.documents.map((part) => parse(part.text) as unknown),
      wanted,
    );
  });
}

for (const [form, line] of [
  ["a: [\n", 2],
  ["a: 1\nb: x: y\n", 2],
  ["a: 1\na: 2\n", 2],
  ["a: 1\n---\n\tb: 2\n", 3],
  ["{{- if .x }}\na: 1\n{{- end }}\n", 1],
] as const) {
  test(`parseYaml() names the line in ${JSON.stringify(form)}`, () => {
    const read = parseYaml(form);
    assert.ok("problem" in read);
    assert.match(read.problem, new RegExp(`^line ${line}: `));
  });
}
