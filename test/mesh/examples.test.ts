import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { adapters } from "../../adapters/adapters.ts";
import { staticOptions } from "../../adapters/static/options.ts";
import { staticFiles } from "../../adapters/static/static.ts";
import { parseConfig } from "../../src/config.ts";
import { createCompute } from "../../src/controller/compute.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import { NOW_MS, standing } from "../plan/build.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { validate } from "../servers/istioctl.ts";
import { readExample } from "./example.ts";

const skip = (await ensureServers(["istioctl"])) === undefined && noServers;
const root = join(import.meta.dirname, "../../deploy");
const folders = (await readdir(join(root, "examples"), { withFileTypes: true }))
  .filter((entry) => entry.isDirectory() && existsSync(join(root, "examples", entry.name, "services.yaml")))
  .map(({ name }) => name);
const anchors = new Set(
  [...(await readFile(join(root, "docs/mesh.md"), "utf8")).matchAll(/^## (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, "")
      .replaceAll(" ", "-"),
  ),
);
for (const name of folders) {
  test(`Istio finds no fault with example ${name} and what is made of it`, { skip }, async () => {
    const made = await objectsOf(name);
    const own = (await readExample(name)).manifests;
    const checked = [...made, ...own].filter(
      ({ apiVersion, kind }) => apiVersion.includes(".istio.io/") || (apiVersion === "v1" && kind === "Service"),
    );
    if (checked.length === 0) return;
    const { ok, output } = await validate(checked);
    assert.ok(ok, output);
  });

  test(`the README of example ${name} leads to sections that there are`, async (t) => {
    const readme = await readFile(join(root, "examples", name, "README.md"), "utf8").catch(() => undefined);
    if (readme === undefined) return t.skip("it has none");
    for (const [, anchor = ""] of readme.matchAll(/docs\/mesh\.md#([\w-]+)/g))
      assert.ok(anchors.has(anchor), `#${anchor} is not one of ${[...anchors].join()}`);
  });
}

/** All that X2Istio would write for an example where nothing stands. */
async function objectsOf(name: string) {
  const dir = join(root, "examples", name);
  const text = await readFile(join(dir, "x2istio.yaml"), "utf8");
  const config = parseConfig(text, "x2istio.yaml", { env: { POLARIS_ADDRESS: "http://192.0.2.1:8090" }, adapters });
  const ofFiles = config.registries.filter(({ kind }) => kind === "static");
  const context = { dir, log: createLog({ level: "silent", pretty: false }), metrics: createMetrics() };
  const readings = await Promise.all(
    ofFiles.map(async ({ name: registry, options }) => {
      const adapter = staticFiles(staticOptions.parse(options), { ...context, registry });
      const snapshot = await adapter.read(AbortSignal.timeout(10_000), { trigger: "poll" });
      return [registry, { state: "read" as const, snapshot }] as const;
    }),
  );
  const { plan } = createCompute(config)({
    readings: new Map(readings),
    standing: standing(),
    nowMs: NOW_MS,
    allowDeletes: new Set<string>(),
    endpointPeaks: new Map(),
  });
  assert.ok(plan.create.length > 0 || ofFiles.length === 0);
  return plan.create.map(({ object }) => object.manifest);
}
