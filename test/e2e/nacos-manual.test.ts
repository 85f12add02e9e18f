import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { ensureServers, noServers } from "../servers/build.ts";
import { nacosServers, startNacos } from "../servers/nacos.ts";
import { tempDir } from "./fixture.ts";

const skip = (await ensureServers(nacosServers)) === undefined && noServers;
const root = join(import.meta.dirname, "../..");

test("the quick start of Nacos' manual gives what it shows, line by line", { skip }, async (t) => {
  const nacos = await startNacos("nacos");
  t.after(() => nacos.stop());
  const manual = await readFile(join(root, "adapters/nacos/README.md"), "utf8");
  const [, commands = ""] = /^Quick start.*?^```sh\n(.*?)^```/ms.exec(manual) ?? [];
  assert.match(commands, /^curl .*^x2istio apply$/ms);
  const script = commands.replaceAll("http://127.0.0.1:8848", nacos.address);
  const command = `set -eu; x2istio() { "${process.execPath}" "${join(root, "src/main.ts")}" "$@"; }\n${script}`;
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { cwd: await tempDir(t) });
  // What is applied comes before, in words; the file is what the last command shows.
  const [document] = parseAllDocuments(stdout.slice(stdout.indexOf("apiVersion:")));
  assert.ok(document !== undefined, stdout);
  const { kind, spec } = document.toJS() as { readonly kind: string; readonly spec: Record<string, unknown> };
  assert.equal(kind, "ServiceEntry");
  assert.deepEqual(spec.hosts, ["orders.public.prod.mesh.internal"]);
  assert.deepEqual(spec.endpoints, [{ address: "192.0.2.1", weight: 100 }]);
});
