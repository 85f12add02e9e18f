import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { parseConfig } from "../../src/config/parse.ts";

/** Test the README of a kind of registry: its examples can be used, and it names all these options. Gives its text. */
export async function testManual(kind: string, options: readonly string[]): Promise<string> {
  const readme = await readFile(new URL(`../../adapters/${kind}/README.md`, import.meta.url), "utf8");
  const examples = [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = ""]) => text);

  test("the README has examples", () => assert.ok(examples.length >= 3));

  for (const [index, text] of examples.entries())
    test(`README example ${index + 1} can be used`, () => {
      parseConfig(text, "x2istio.yaml", { env: {}, adapters });
    });

  test("the README names every option", () => {
    for (const option of options) assert.match(readme, new RegExp(`^\\| \`${option}\` +\\|`, "m"), option);
  });
  return readme;
}
