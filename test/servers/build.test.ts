import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { ensureServers, noServers } from "./build.ts";

const run = promisify(execFile);
const cache = await mkdtemp(join(tmpdir(), "x2istio-cache-"));
after(() => rm(cache, { recursive: true }));
const buildCrds = (env: NodeJS.ProcessEnv = {}) =>
  run(process.execPath, [join(import.meta.dirname, "build.ts"), "crds"], {
    env: { ...process.env, X2ISTIO_CACHE: cache, ...env },
  });
/** A PATH without Go, but with what the build script calls. */
const withoutGo = async () => {
  const found = (process.env.PATH ?? "").split(":");
  const hasGo = await Promise.all(
    found.map((dir) =>
      access(join(dir, "go")).then(
        () => true,
        () => false,
      ),
    ),
  );
  return { PATH: found.filter((_, i) => !hasGo[i]).join(":") };
};

test("ensureServers() without Go explains, and fails in CI", async () => {
  const env = await withoutGo();
  await assert.rejects(buildCrds({ ...env, CI: "" }), ({ stderr }) => stderr.includes(`nothing built: ${noServers}`));
  await assert.rejects(buildCrds({ ...env, CI: "true" }), /Error: Cannot build crds for the tests/);
});

const skip = (await ensureServers(["crds"])) === undefined && noServers;

test("ensureServers() builds once for all that ask", { skip }, async () => {
  const results = await Promise.all([buildCrds(), buildCrds(), buildCrds()]);
  const file = join(cache, "servers/istio-crds.yaml");
  for (const { stdout } of results) assert.equal(stdout, `crds\t${file}\n`);
  assert.equal(results.filter(({ stderr }) => stderr.includes("crds: building")).length, 1);
  assert.match(await readFile(file, "utf8"), /name: serviceentries\.networking\.istio\.io/);
  assert.deepEqual(await leftovers(), []);
});

test("ensureServers() takes over from a process that died", { skip }, async () => {
  const dead = await run(process.execPath, ["-p", "process.pid"]);
  await rm(join(cache, "servers"), { recursive: true, force: true });
  await mkdir(join(cache, "servers"));
  await writeFile(join(cache, "servers/.lock"), dead.stdout.trim());
  assert.match((await buildCrds()).stderr, /crds: building/);
  assert.deepEqual(await leftovers(), []);
});

/** What is in the cache besides the result and its stamp. */
async function leftovers(): Promise<readonly string[]> {
  return (await readdir(join(cache, "servers"))).filter((name) => !/^(\.crds\.\d+|istio-crds\.yaml)$/.test(name));
}

test("the definitions are of the Istio that istioctl is built from", async () => {
  const version = async (folder: string, pattern: RegExp) =>
    pattern.exec(await readFile(join(import.meta.dirname, folder, "go.mod"), "utf8"))?.[1];
  const ofCrds = await version("crds", /istio\.io\/api (v\S+)/);
  assert.notEqual(ofCrds, undefined);
  assert.equal(ofCrds, await version("istioctl", /istio\.io\/api => istio\.io\/api (v\S+)/));
  const istio = /istio\.io\/istio (v\S+)/;
  for (const folder of ["pilot-discovery", "pilot-agent", "echo"])
    assert.equal(await version("istioctl", istio), await version(folder, istio), folder);
});
