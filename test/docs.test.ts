import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { adapters } from "../adapters/adapters.ts";
import { declareMetrics } from "../src/cli/serve/metrics.ts";
import { parseConfig } from "../src/config/parse.ts";
import { sectionFields } from "../src/config/schema.ts";
import { createMetrics } from "../src/metrics.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const configuration = read("deploy/docs/configuration.md");

for (const [file, document] of [
  ["configuration.md", configuration],
  ["dns.md", read("deploy/docs/dns.md")],
] as const)
  for (const [at, [, text = ""]] of [...document.matchAll(/^```yaml\n(.*?)^```$/gms)].entries())
    test(`${file}'s example ${at + 1} is a valid configuration`, () => {
      assert.ok(parseConfig(text, "x2istio.yaml", { env: {}, adapters }));
    });

for (const section of ["registries", ...Object.keys(sectionFields)]) {
  test(`configuration.md describes ${section}`, () => assert.match(configuration, new RegExp(`^## ${section}$`, "m")));
}

test("http.md names metrics that there are", async () => {
  const names = [...read("deploy/docs/http.md").matchAll(/x2istio_[a-z_]+/g)].map(([name]) => name);
  const declared = createMetrics();
  declareMetrics(declared);
  const metrics = await declared.registry.metrics();
  for (const name of names) assert.match(metrics, new RegExp(`^# TYPE ${name} `, "m"), name);
});

const pages = ["README.md", ...globSync("{.github,adapters,deploy,src,test}/**/*.md", { cwd: root })];
for (const page of pages)
  test(`${page} leads to what there is`, () => {
    const links = [...read(page).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)];
    for (const [, path = "", anchor] of links) {
      const target = path === "" ? page : normalize(join(dirname(page), path));
      assert.ok(existsSync(join(root, target)), `${target} is not there`);
      if (anchor !== undefined) assert.ok(anchorsOf(target).has(anchor), `${target} has no #${anchor}`);
    }
  });

/** As GitHub makes them of headings. */
function anchorsOf(page: string): ReadonlySet<string> {
  const titles = [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) => title.toLowerCase());
  return new Set(titles.map((title) => title.replaceAll(/[^\p{L}\d _-]/gu, "").replaceAll(" ", "-")));
}

test("CONTRIBUTING.md names the scripts of package.json, and no others", () => {
  const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> };
  const named = [...read(".github/CONTRIBUTING.md").matchAll(/`(?:npm (?:run )?)?(\w+(?::\w+)?)(?: FILE…)?`/g)]
    .map(([, name = ""]) => name)
    .filter((name) => Object.hasOwn(scripts, name) || name.includes(":"));
  const standing = Object.keys(scripts).filter((name) => name !== "prepack"); // npm's own
  assert.deepEqual([...new Set(named)].toSorted(), standing.toSorted());
});

test("the examples' README names every example", () => {
  const text = read("deploy/examples/README.md");
  const named = [...text.matchAll(/\]\(([a-z-]+)\//g)].map(([, name]) => name);
  const there = globSync("deploy/examples/*/x2istio.yaml", { cwd: root }).map((file) => file.split("/")[2]);
  assert.deepEqual(named.toSorted(), there.toSorted());
});
