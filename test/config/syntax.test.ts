import assert from "node:assert/strict";
import { test } from "node:test";
import { readDocument } from "../../src/config/document.ts";

const REGISTRY = "owner: east\nregistries:\n  - kind: static\n    name: vms\n";
const cases: readonly { readonly name: string; readonly text: string; readonly want: readonly RegExp[] }[] = [
  {
    name: "an option that is indented less",
    text: `${REGISTRY}   file: services.yaml\ndns:\n  ttl: 30s\n`,
    want: [/^x\.yaml:5:1 file: is indented by 3, which fits no line above: .* at the same column, here 4$/],
  },
  {
    name: "an option that is indented more",
    text: `${REGISTRY}     file: services.yaml\n`,
    want: [
      /^x\.yaml:5:6 file: is indented by 5, deeper than the line above, which has its value already: indent it by 4$/,
    ],
  },
  {
    name: "an item of a list that is indented otherwise, after which nothing fits",
    text: `registries:\n- kind: static\n  name: vms\n - kind: static\n  name: b\n`,
    want: [/^x\.yaml:4:2 kind: is indented by 1, .*: items of one list begin at the same column, here 0$/],
  },
  { name: "a tab", text: "dns:\n\tttl: 30s\n", want: [/^x\.yaml:2:1 ttl: is indented by a tab: write spaces$/] },
  {
    name: "an open bracket",
    text: "dns: {ttl: 30s\nhttp: {}\n",
    want: [/^x\.yaml:2:1 http: flow map in block collection must be .* end with a \}$/],
  },
  {
    name: "a colon in a text",
    text: "owner: a: b\n",
    want: [/^x\.yaml:1:8 owner: has ": " in a text: write .* quotes$/],
  },
  {
    name: "keys that are there twice, each",
    text: "owner: a\nowner: b\nhttp: {}\nhttp: {}\n",
    want: [/^x\.yaml:2:1 owner: is there twice: keys must be unique$/, /^x\.yaml:4:1 http: is there twice/],
  },
];
for (const { name, text, want } of cases)
  test(`readDocument() says once, and how to mend it: ${name}`, () => {
    const { describe, problems } = readDocument(text, "x.yaml", {});
    const lines = describe(problems);
    assert.equal(lines.length, want.length, lines.join("\n"));
    for (const [at, line] of lines.entries()) assert.match(line, want[at] ?? /^$/);
  });
