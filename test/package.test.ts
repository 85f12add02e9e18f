import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");

describe("the published package", () => {
  let folder = "";
  let main = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "x2istio-package-"));
    await run("npm", ["pack", "--pack-destination", folder], { cwd: root });
    const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz")) ?? "";
    await run("tar", ["-xzf", tarball], { cwd: folder });
    const installed = join(folder, "node_modules", "x2istio");
    await mkdir(join(folder, "node_modules"));
    await run("mv", [join(folder, "package"), installed]);
    await linkDependencies(join(folder, "node_modules"));
    main = join(installed, "dist/src/main.js");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("runs --help and validates the example on plain Node", async () => {
    const help = await run(process.execPath, [main, "--help"], { cwd: folder });
    assert.match(help.stdout, /Usage: x2istio/);
    const example = join(folder, "node_modules/x2istio/deploy/example/x2istio.yaml");
    const { stdout } = await run(process.execPath, [main, "validate", "--config", example], { cwd: folder });
    assert.match(stdout, /is valid/);
  });

  test("holds no tests and no sources", async () => {
    const files = await readdir(join(folder, "node_modules/x2istio"), { recursive: true });
    assert.deepEqual(
      files.filter((file) => (file.endsWith(".ts") && !file.endsWith(".d.ts")) || file.startsWith("test")),
      [],
    );
  });
});

/** Only what the package depends on is there: an import of a development package fails. */
async function linkDependencies(modules: string): Promise<void> {
  const { dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    if (name.includes("/")) await mkdir(join(modules, name.split("/")[0] ?? ""), { recursive: true });
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
}
