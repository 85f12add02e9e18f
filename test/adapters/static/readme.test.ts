import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { adapters } from "../../../adapters/adapters.ts";
import { parseFile } from "../../../adapters/static/file.ts";
import { staticOptions } from "../../../adapters/static/options.ts";
import { itemSchema } from "../../../adapters/static/schema.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { parseConfig } from "../../../src/config/parse.ts";
import { adapterIn, read } from "./fixture.ts";

const readme = await readFile(new URL("../../../adapters/static/README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text = ""]) => text);

test("the README has examples of both files", () => {
  assert.ok(examples.some((text) => text.startsWith("services:")));
  assert.ok(examples.some((text) => text.includes("registries:")));
});

for (const [index, text] of examples.entries()) {
  test(`README example ${index + 1} can be used`, () => {
    if (!text.startsWith("services:")) {
      parseConfig(text, "x2istio.yaml", { env: {}, adapters });
      return;
    }
    const { items, problems } = parseFile(text, "services.yaml", {
      registry: "vms",
      namespace: "default",
    });
    assert.deepEqual([...problems, ...items.flatMap((item) => item.problems)], []);
  });
}

test("the README names every option and every field", () => {
  for (const option of Object.keys(staticOptions.shape))
    assert.match(readme, new RegExp(`^\\| \`${option}\` +\\|`, "m"));
  for (const field of Object.keys(itemSchema.shape)) assert.match(readme, new RegExp(`\`${field}[\`[]`));
});

test("the embedded example shows every kind of service, and can be used", async () => {
  const file = fileURLToPath(new URL("../../../deploy/example/x2istio.yaml", import.meta.url));
  const config = await loadConfig(file, { env: {}, adapters });
  const { services, incomplete } = await read(adapterIn(config.dir, config.registries[0]?.options as object));
  assert.equal(incomplete, undefined);
  const found = services.map((one) => (one.state === "ok" ? one.service : assert.fail(one.key)));
  assert.ok(found.length >= 12);
  const protocols = new Set(found.flatMap(({ ports }) => ports.map(({ protocol }) => protocol)));
  for (const protocol of ["HTTP", "GRPC", "TCP", "REDIS", "HTTPS", "metaprotocol-dubbo", "metaprotocol-thrift"])
    assert.ok(protocols.has(protocol), protocol);
  assert.ok(
    found.some(({ endpoints }) => endpoints.some(({ address }) => address.includes(":"))),
    "IPv6",
  );
  assert.ok(
    found.some(({ leftOut }) => leftOut.some(({ reason }) => reason.startsWith("disabled in services.yaml:"))),
    "a disabled endpoint",
  );
  assert.ok(
    found.some(({ ports }) => ports.length > 2),
    "several ports",
  );
  assert.ok(
    found.some(({ legacyNames }) => legacyNames.includes("64001.65536")),
    "an L5 name",
  );
  assert.deepEqual(
    found.flatMap(({ notes }) => notes),
    [],
  );
});
