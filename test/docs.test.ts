import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { adapters } from "../adapters/adapters.ts";
import { sectionFields } from "../src/config/schema.ts";
import { parseConfig } from "../src/config.ts";
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
  const metrics = await createMetrics().registry.metrics();
  for (const name of names) assert.match(metrics, new RegExp(`^# TYPE ${name} `, "m"), name);
});
