import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { pathToFileURL } from "node:url";
import { parseAllDocuments } from "yaml";
import type { AdapterModule } from "../../adapters/contract.ts";
import { type AdapterWorld, adapterContract, adapterOf } from "../../src/testing/testing.ts";
import { runCli } from "../e2e/cli.ts";

const example = join(import.meta.dirname, "../../deploy/examples/module-adapter");
const { adapter } = (await import(pathToFileURL(join(example, "file-sd.js")).href)) as { adapter: AdapterModule };

interface Group {
  targets: unknown;
  readonly labels: { readonly job: string };
}

async function start(): Promise<AdapterWorld> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-contract-"));
  const groups = new Map<string, Group>();
  const targetsOf = (service: string) => (groups.get(service)?.targets ?? []) as string[];
  const save = (list = [...groups.values()]) => writeFile(join(dir, "targets.json"), JSON.stringify(list));
  await save();
  return {
    adapter: await adapterOf(adapter, { registry: "targets", options: { file: "targets.json" }, dir }),
    async addService(name, addresses) {
      groups.set(name, { targets: addresses.map((address) => `${address}:80`), labels: { job: name } });
      await save();
    },
    async removeService(name) {
      groups.delete(name);
      await save();
    },
    async addEndpoint(service, address) {
      targetsOf(service).push(`${address}:80`);
      await save();
    },
    async removeEndpoint(service, address) {
      groups.set(service, {
        targets: targetsOf(service).filter((one) => one !== `${address}:80`),
        labels: { job: service },
      });
      await save();
    },
    async breakList() {
      await writeFile(join(dir, "targets.json"), '[{"targets": [');
      return save;
    },
    async breakService(name) {
      const whole = groups.get(name);
      assert.ok(whole);
      groups.set(name, { ...whole, targets: "none" });
      await save();
      return async () => {
        groups.set(name, whole);
        await save();
      };
    },
    shuffle: () =>
      save(
        [...groups.values()]
          .reverse()
          .map((group) => ({ ...group, targets: (group.targets as string[]).toReversed() })),
      ),
    close: () => rm(dir, { recursive: true }),
  };
}

adapterContract("the example of a module", { start });

async function place(t: TestContext) {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-example-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await cp(example, dir, { recursive: true });
  return { dir, x2istio: (...args: readonly string[]) => runCli(["--config", join(dir, "x2istio.yaml"), ...args]) };
}

test("the example of a module writes its services, and keeps them when its file is gone", async (t) => {
  const { dir, x2istio } = await place(t);
  const validated = await x2istio("validate");
  assert.equal(validated.code, 0, validated.stderr);
  assert.match(validated.stdout, /^registry targets: its module loads\.$/m);
  const planned = await x2istio("plan");
  assert.equal(planned.code, 0, planned.stderr);
  assert.match(planned.stdout, /^targets +2 services, 5 endpoints/m);
  assert.equal((await x2istio("apply")).code, 0);
  const file = join(dir, "out/mesh-services/node.monitoring.targets.mesh.internal.yaml");
  const [entry] = parseAllDocuments(await readFile(file, "utf8")).map((one) => one.toJS());
  assert.deepEqual(entry.spec.ports, [{ name: "http", number: 9100, protocol: "HTTP" }]);
  assert.deepEqual(entry.spec.endpoints, [
    { address: "192.0.2.11", locality: "eu/eu-1a" },
    { address: "192.0.2.12", locality: "eu/eu-1a" },
    { address: "192.0.2.13", locality: "eu/eu-1b", ports: { http: 9101 } },
  ]);
  assert.equal((await x2istio("apply")).code, 0);
  const before = await readdir(join(dir, "out"), { recursive: true });
  await unlink(join(dir, "targets.json"));
  const failed = await x2istio("apply");
  assert.equal(failed.code, 1);
  assert.match(failed.stdout, /^targets +cannot be read: .*ENOENT.*targets\.json/m);
  assert.deepEqual(await readdir(join(dir, "out"), { recursive: true }), before);
});

test("the example of a module is at most 100 lines", async () => {
  const text = await readFile(join(example, "file-sd.js"), "utf8");
  assert.ok(text.split("\n").length <= 101);
});
