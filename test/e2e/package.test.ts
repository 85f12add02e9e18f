import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  allowJs: true,
  checkJs: true,
  noEmit: true,
  target: "es2024",
  lib: ["es2024", "esnext.disposable"],
  module: "nodenext",
  types: ["node"],
};

/** An adapter with a schema of a library, which uses what the package has besides types. */
const TYPED = `import { type Adapter, type AdapterModule, ReadError, type Service, serviceKey } from "x2istio";
import { z } from "zod";

const schema = z.strictObject({ url: z.url() });

export const adapter: AdapterModule<z.output<typeof schema>> = {
  schema,
  create({ url }, { registry, log }): Adapter {
    log.info({ url }, "created");
    const service = (name: string): Service => {
      throw new ReadError("answer", serviceKey(registry, "default", name));
    };
    return {
      registry,
      read: async () => ({ registry, revision: url, services: [{ state: "ok", service: service("a") }] }),
    };
  },
};
`;

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

  test("runs an adapter of one's own", async () => {
    const place = join(folder, "own");
    await cp(join(folder, "node_modules/x2istio/deploy/examples/module-adapter"), place, { recursive: true });
    const config = join(place, "x2istio.yaml");
    const plan = await run(process.execPath, [main, "plan", "--config", config]);
    assert.match(plan.stdout, /^targets +2 services, 5 endpoints/m);
  });

  test("has the types that an adapter is written against, and its test kit", async () => {
    const place = join(folder, "author");
    await cp(join(root, "deploy/examples/module-adapter"), place, { recursive: true });
    const readme = await readFile(join(root, "adapters/module/README.md"), "utf8");
    const [, check = ""] = /^```ts\n(.*?)^```$/ms.exec(readme) ?? [];
    await writeFile(join(place, "contract.test.ts"), check);
    await writeFile(join(place, "typed.ts"), TYPED);
    await writeFile(join(place, "package.json"), '{ "type": "module" }');
    await writeFile(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT, include: ["."] }));
    await mkdir(join(folder, "node_modules/@types"), { recursive: true });
    await symlink(join(root, "node_modules/@types/node"), join(folder, "node_modules/@types/node"));
    const tsc = await run(join(root, "node_modules/.bin/tsc"), ["-p", place]).catch((error) => error);
    assert.equal(tsc.stdout, "");
    const kit = await run(process.execPath, ["--test", join(place, "contract.test.ts")], {
      env: { PATH: process.env.PATH ?? "" },
    }).catch((error) => error);
    assert.match(kit.stdout, /^ℹ pass 1[5-9]$/m, kit.stdout);
    assert.match(kit.stdout, /^ℹ fail 0$/m);
  });

  test("decides as a library, as library.md shows it", async () => {
    const place = join(folder, "library");
    await mkdir(place);
    const page = await readFile(join(root, "deploy/docs/library.md"), "utf8");
    const [, example = ""] = /^```ts\n(.*?)^```$/ms.exec(page) ?? [];
    const [, printed = ""] = /^```\n(.*?)^```$/ms.exec(page.slice(page.indexOf("It prints"))) ?? [];
    await writeFile(join(place, "example.ts"), example);
    await writeFile(join(place, "package.json"), '{ "type": "module" }');
    await writeFile(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT, include: ["."] }));
    const tsc = await run(join(root, "node_modules/.bin/tsc"), ["-p", place]).catch((error) => error);
    assert.equal(tsc.stdout, "");
    const { stdout } = await run(process.execPath, [join(place, "example.ts")]);
    assert.deepEqual(stdout.trim().split("\n").sort(), printed.trim().split("\n"));
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
