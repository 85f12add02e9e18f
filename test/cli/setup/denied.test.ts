import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { adapters } from "../../../adapters/adapters.ts";
import { withOptions } from "../../../src/cli/setup/denied.ts";
import { placed } from "../../../src/cli/setup/placed.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { describeError, ReadError } from "../../../src/errors.ts";
import { tempDir } from "../../e2e/fixture.ts";

const context = { env: {}, adapters };
const FAR = "https://consul.example.org";
const TLS = "tls: {ca: /etc/ca.pem, key: /etc/key.pem, cert: /etc/cert.pem}";

for (const { name, options, error, want } of [
  {
    name: "a token that is refused",
    options: "tokenFile: /run/token",
    error: new ReadError("denied", "GET /v1/catalog/services answered 403"),
    want: /answered 403; what was refused is the registry's tokenFile \(\S+x\.yaml:4:16\)$/,
  },
  {
    name: "a token file that is not there",
    options: `tokenFile: /run/token\n    ${TLS}`,
    error: new ReadError("denied", "Cannot read /run/token: ENOENT, no such file"),
    want: /no such file; that is the registry's tokenFile \(\S+x\.yaml:4:16\)$/,
  },
  {
    name: "a key that is not there",
    options: `tokenFile: /run/token\n    ${TLS}`,
    error: new ReadError("denied", "Cannot read /etc/key.pem: ENOENT, no such file"),
    want: /that is the registry's tls\.key \(\S+x\.yaml:5:\d+\)$/,
  },
  {
    name: "no token",
    options: "consistency: stale",
    error: new ReadError("denied", "answered 403"),
    want: /answered 403; no token is sent: its options are token and tokenFile$/,
  },
  {
    name: "an outage",
    options: "tokenFile: /run/token",
    error: new ReadError("server", "answered 503"),
    want: /^answered 503$/,
  },
])
  test(`withOptions() of ${name}`, async (t) => {
    const file = join(await tempDir(t), "x.yaml");
    await writeFile(
      file,
      `registries:\n  - {kind: static, name: vms, file: a}\n  - kind: consul\n    ${options}\n    name: dc1\n    address: ${FAR}\n`,
    );
    const config = await loadConfig(file, context);
    const [, registry] = config.registries;
    const shown = await withOptions(error, registry ?? assert.fail(), config, context);
    assert.match(describeError(shown), want);
  });

test("placed() says where the address stands that cannot be listened on, if the file has it", async (t) => {
  const file = join(await tempDir(t), "x.yaml");
  await writeFile(file, 'owner: east\ndns:\n  listen: ["127.0.0.1:53"]\n');
  const error = new Error("Cannot listen for DNS on 127.0.0.1:53 (UDP): choose another with dns.listen");
  assert.match(describeError(await placed(error, file, context)), /dns\.listen \(\S+x\.yaml:3:11\)$/);
  const other = new Error("Cannot run");
  assert.equal(await placed(other, file, context), other);
});
