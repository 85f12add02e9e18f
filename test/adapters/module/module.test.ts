import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { adapters } from "../../../adapters/adapters.ts";
import { moduleAdapter } from "../../../adapters/module/module.ts";
import { moduleOptions } from "../../../adapters/module/options.ts";
import { parseConfig } from "../../../src/config/parse.ts";
import { ConfigError } from "../../../src/errors.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import { runCli } from "../../e2e/cli.ts";

const ZOD = import.meta.resolve("zod");
const EMPTY = `async read() { return { registry: context.registry, services: [], revision: "1" }; }`;
const GOOD = `export const adapter = { create: (options, context) => ({ registry: context.registry, ${EMPTY} }) };`;
/** One option, checked by a schema library. */
const WITH_SCHEMA = `import { z } from ${JSON.stringify(ZOD)};
export const adapter = {
  schema: z.strictObject({ url: z.url("must be a URL"), services: z.array(z.string()).default(["a"]) }),
  create: (options, context) => ({ registry: context.registry, options, ${EMPTY} }),
};`;

/** A module whose `create` does this. */
function creates(body: string): string {
  return `export const adapter = { create(options, context) { ${body} } };`;
}

async function folder(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-module-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), text);
  }
  return dir;
}

function load(dir: string, options: object) {
  const log = createLog({ level: "silent", pretty: false });
  return moduleAdapter(moduleOptions.parse(options), {
    registry: "targets",
    dir,
    log,
    metrics: createMetrics(),
    secrets: createSecrets(),
  });
}

const good: readonly {
  readonly name: string;
  readonly file: string;
  readonly text: string;
  readonly options?: unknown;
}[] = [
  { name: "JavaScript", file: "a.js", text: GOOD },
  { name: "JavaScript that says that it is a module", file: "a.mjs", text: GOOD },
  { name: "a CommonJS module", file: "a.cjs", text: GOOD.replace("export const adapter", "exports.adapter") },
  {
    name: "TypeScript",
    file: "a.ts",
    text: GOOD.replace("(options, context)", "(options: unknown, context: { registry: string })"),
  },
  { name: "a module below the configuration's folder", file: "adapters/a.js", text: GOOD },
  { name: "a create that takes a while", file: "a.js", text: GOOD.replace("create: (", "create: async (") },
  {
    name: "a schema that is satisfied",
    file: "a.js",
    text: WITH_SCHEMA,
    options: { url: "http://registry.example.org" },
  },
  {
    name: "a schema that takes a while",
    file: "a.js",
    text: GOOD.replace(
      "create",
      `schema: { "~standard": { version: 1, vendor: "x", validate: async (value) => ({ value }) } }, create`,
    ),
  },
];
for (const { name, file, text, options } of good) {
  test(`a registry of kind module loads ${name}`, async (t) => {
    const dir = await folder(t, { [file]: text });
    const adapter = await load(dir, { path: `./${file}`, options });
    const { services } = await adapter.read(new AbortController().signal, { trigger: "poll" });
    assert.deepEqual(services, []);
    await adapter.close?.();
  });
}

const bad: readonly {
  readonly name: string;
  readonly text?: string;
  readonly options?: unknown;
  readonly says: RegExp;
}[] = [
  { name: "no file", says: /^path: \.\/a\.js: no such file \(\/.*a\.js\)$/ },
  {
    name: "a file that is no JavaScript",
    text: "export const adapter = ;",
    says: /^path: \.\/a\.js cannot be loaded: .*; node --check \/.*a\.js shows where$/,
  },
  {
    name: "a file that throws",
    text: `throw new Error("no luck");`,
    says: /^path: \.\/a\.js cannot be loaded: no luck$/,
  },
  {
    name: "a file that imports what is not there",
    text: `import "./b.js";`,
    says: /^path: \.\/a\.js cannot be loaded: Cannot find module '.*b\.js'/,
  },
  {
    name: "a file without exports",
    text: "export {};",
    says: /^path: \.\/a\.js must export "adapter", exports nothing$/,
  },
  { name: "a file that exports something else", text: "export const reader = 1;", says: /exports reader$/ },
  {
    name: "an adapter that is none",
    text: "export const adapter = null;",
    says: /adapter\.create must be a function$/,
  },
  {
    name: "a schema that is none",
    text: GOOD.replace("create", "schema: {}, create"),
    says: /adapter\.schema must be a Standard Schema of version 1, or absent$/,
  },
  {
    name: "options that do not pass",
    text: WITH_SCHEMA,
    options: { url: 1, services: ["a", 2] },
    says: /^options\.url: must be a URL\noptions\.services\[1\]: /,
  },
  { name: "options that are missing", text: WITH_SCHEMA, says: /^options\.url: must be a URL$/ },
  {
    name: "a schema that throws",
    text: GOOD.replace(
      "create",
      `schema: { "~standard": { version: 1, validate() { throw new Error("odd"); } } }, create`,
    ),
    says: /^options: odd$/,
  },
  {
    name: "a create that throws",
    text: creates(`throw new Error("file must be given", { cause: new Error("so") })`),
    says: /^options: file must be given: so$/,
  },
  {
    name: "a create that makes nothing",
    text: creates(""),
    says: /^path: adapter\.create must return an adapter object$/,
  },
  {
    name: "a create that makes no reader",
    text: creates("return { registry: context.registry }"),
    says: /adapter that has the function read$/,
  },
  {
    name: "an adapter of another registry",
    text: creates(`return { registry: "dc1", ${EMPTY} }`),
    says: /adapter of registry "targets"$/,
  },
  {
    name: "an adapter whose close is no function",
    text: creates(`return { registry: context.registry, close: 1, ${EMPTY} }`),
    says: /whose close is a function, or absent$/,
  },
  {
    name: "a file that never ends to load",
    text: "await new Promise(() => {});",
    says: /^path: \.\/a\.js must load and create its adapter within 300 ms$/,
  },
];
for (const { name, text, options, says } of bad) {
  test(`a registry of kind module refuses ${name}`, async (t) => {
    const dir = await folder(t, text === undefined ? {} : { "a.js": text });
    await assert.rejects(
      load(dir, { path: "./a.js", options, timeout: text?.startsWith("await") === true ? "300ms" : "10s" }),
      (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, says);
        return true;
      },
    );
  });
}

const CONFIG = `registries:
  - { kind: module, name: targets, path: ./a.js, options: { url: nowhere } }
  - { kind: module, name: more, path: ./b.js }
  - { kind: module, name: well, path: ./c.js }
dns: { listen: ["127.0.0.1:0"] }
http: { listen: "127.0.0.1:0" }
`;
for (const command of ["run", "plan", "apply", "validate"]) {
  test(`${command} ends at once where a module cannot be used, naming every registry`, async (t) => {
    const dir = await folder(t, { "x2istio.yaml": CONFIG, "a.js": WITH_SCHEMA, "c.js": GOOD });
    const config = join(dir, "x2istio.yaml");
    const { code, stdout, stderr } = await runCli(["--log-level", "silent", "--config", config, command]);
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.deepEqual(stderr.trimEnd().split("\n"), [
      `Cannot use config "${config}":`,
      '  registry "targets": options.url: must be a URL',
      `  registry "more": path: ./b.js: no such file (${join(dir, "b.js")})`,
    ]);
  });
}

test("a module that keeps something open is closed before a command ends", async (t) => {
  const text = creates(`const timer = setInterval(() => {}, 1000);
    return { registry: context.registry, ${EMPTY}, async close() { clearInterval(timer); } };`);
  const dir = await folder(t, {
    "x2istio.yaml": "registries: [{ kind: module, name: targets, path: ./a.js }]",
    "a.js": text,
  });
  for (const [command, code] of [
    ["plan", 0],
    ["validate", 0],
    ["apply", 0],
  ] as const)
    assert.equal((await runCli(["--config", join(dir, "x2istio.yaml"), command])).code, code, command);
});

const refused: readonly { readonly options: string; readonly says: RegExp }[] = [
  { options: "", says: /registries\[0\]\.path: is missing/ },
  { options: "path: ./a.json", says: /registries\[0\]\.path: must end in \.js, \.mjs, \.cjs, \.ts or \.mts/ },
  { options: "path: ./a.js, timeout: 2h", says: /registries\[0\]\.timeout: must be a duration from 100ms to 1h/ },
  { options: "path: ./a.js, file: x", says: /registries\[0\]\.file: is not an option of a module registry/ },
];
for (const { options, says } of refused) {
  test(`the configuration refuses a module with {${options}}`, () => {
    const text = `registries: [{ kind: module, name: targets, ${options} }]`;
    assert.throws(() => parseConfig(text, "x2istio.yaml", { env: {}, adapters }), says);
  });
}

const readme = await readFile(new URL("../../../adapters/module/README.md", import.meta.url), "utf8");

for (const [at, [, text = ""]] of [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].entries()) {
  test(`the README's configuration ${at + 1} can be used`, () => {
    assert.ok(parseConfig(text, "x2istio.yaml", { env: {}, adapters }));
  });
}

for (const [at, [, text = ""]] of [...readme.matchAll(/^```js\n(.*?)^```$/gms)].entries()) {
  test(`the README's module ${at + 1} can be loaded, and its services be read`, async (t) => {
    const dir = await folder(t, { "a.js": text.replaceAll('"zod"', JSON.stringify(ZOD)) });
    const adapter = await load(dir, { path: "./a.js", options: { url: "http://registry.example.org" } });
    await adapter.close?.();
  });
}

test("the README names every option", () => {
  for (const option of Object.keys(moduleOptions.shape))
    assert.match(readme, new RegExp(`^\\| \`${option}\` +\\|`, "m"));
});
