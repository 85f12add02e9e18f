import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { blockOf, forwardOf, parseCorefile } from "../../../src/doctor/dns/corefile.ts";
import { stubBlock } from "../../../src/doctor/dns/servers.ts";
import { sized } from "../../size.ts";

const routes = (text: string, name: string, parts: Readonly<Record<string, string>> = {}) => {
  const block = blockOf(name, parseCorefile(text, new Map(Object.entries(parts))), 53);
  return block === undefined ? "no block" : (forwardOf(name, block)?.to.join(" ") ?? "no forward");
};

const cases: readonly {
  readonly name: string;
  readonly text: string;
  readonly parts?: Readonly<Record<string, string>>;
  readonly of: string;
  readonly want: string;
}[] = [
  {
    name: "the longest zone",
    text: "a.b {\nforward . 1\n}\nb {\nforward . 2\n}\n. {\nforward . 3\n}",
    of: "x.a.b",
    want: "1",
  },
  { name: "whole labels only", text: "b {\nforward . 2\n}\n. {\nforward . 3\n}", of: "ab", want: "3" },
  { name: "blocks on that port only", text: "b:5353 {\nforward . 2\n}\n. {\nforward . 3\n}", of: "b", want: "3" },
  {
    name: "the longest zone, whichever comes first",
    text: "b {\nforward . 2\n}\na.b {\nforward . 1\n}",
    of: "a.b",
    want: "1",
  },
  { name: "forward of a zone with a dot at its end", text: ". {\nforward B. 1\nforward . 2\n}", of: "x.b", want: "1" },
  {
    name: "a range of addresses as its reverse zones",
    text: "240.241.0.0/16 10.0.0.0/15:53 fd00:12::/64 {\nforward . 2\n}\n. {\nforward . 3\n}",
    of: "7.0.241.240.in-addr.arpa",
    want: "2",
  },
  {
    name: "the second zone of a range",
    text: "10.0.0.0/15:53 {\nforward . 2\n}\n. {\nforward . 3\n}",
    of: "7.0.1.10.in-addr.arpa",
    want: "2",
  },
  {
    name: "no zone beside those of a range",
    text: "10.0.0.0/15:53 {\nforward . 2\n}\n. {\nforward . 3\n}",
    of: "7.0.2.10.in-addr.arpa",
    want: "3",
  },
  { name: "no block", text: "b {\nforward . 2\n}", of: "c", want: "no block" },
  { name: "several keys, over two lines", text: "a:53,\n  dns://B.:53 {\nforward . 2\n}", of: "x.b", want: "2" },
  { name: "comments and quotes", text: '# b {\nb { # here\n  forward . "2" # 3\n}', of: "b", want: "2" },
  { name: "a hash within a word", text: "b {\nforward . 2#3\n}", of: "b", want: "2#3" },
  {
    name: "nested braces",
    text: "b {\nkubernetes x {\n a {\n b\n }\n}\nforward . 2 3 {\n force_tcp\n}\n}",
    of: "b",
    want: "2 3",
  },
  { name: "a snippet", text: "(up) {\nforward . 2\n}\nb {\nimport up\n}", of: "b", want: "2" },
  { name: "a snippet in itself", text: "(up) {\nimport up\n}\nb {\nimport up\n}", of: "b", want: "no forward" },
  {
    name: "parts of the pattern's name",
    text: "import a/*.server",
    parts: { "x.server": "b {\nforward . 2\n}", "x.override": "c" },
    of: "b",
    want: "2",
  },
  {
    name: "a part within a block",
    text: "b {\nimport a/*.override\n}",
    parts: { "x.override": "forward . 2" },
    of: "b",
    want: "2",
  },
  {
    name: "a pattern's signs as they are",
    text: "import a+/(*.server",
    parts: { "(x.server": "b {\nforward . 2\n}" },
    of: "b",
    want: "2",
  },
  { name: "the first forward that covers it", text: ". {\nforward a 1\nforward . 2\n}", of: "x.a", want: "1" },
  { name: "nothing", text: "", of: "a", want: "no block" },
];
for (const { name, text, parts, of, want } of cases)
  test(`parseCorefile(): ${name}`, () => assert.equal(routes(text, of, parts), want));

for (const text of [". {", "}", "a {\n}\n}", "a {\nb {\n}"])
  test(`parseCorefile() refuses ${JSON.stringify(text)}`, () =>
    assert.throws(() => parseCorefile(text), /Cannot read the Corefile/));

test("parseCorefile() ends, whatever it is given", () => {
  const word = fc.constantFrom("{", "}", "import", "(a)", "a", "*.server", "forward", ".", "#", '"', ",", "b:53");
  const text = fc
    .array(fc.tuple(word, fc.constantFrom(" ", "\n", ",\n")), { maxLength: 60 })
    .map((words) => words.flat().join(""));
  fc.assert(
    fc.property(text, text, (main, part) => {
      try {
        for (const { zones } of parseCorefile(main, new Map([["x.server", part]])))
          for (const { port } of zones) assert.ok(port > 0);
      } catch (error) {
        assert.match(String(error), /Cannot read the Corefile/);
      }
    }),
    { numRuns: sized(2000) },
  );
});

test("stubBlock() is the block of deploy/coredns", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../deploy/coredns/mesh.Corefile"), "utf8");
  const made = stubBlock(["mesh.internal", "corp.example.com", "241.240.in-addr.arpa"], 53, "10.96.0.53", []);
  assert.deepEqual(parseCorefile(made), parseCorefile(text));
});
