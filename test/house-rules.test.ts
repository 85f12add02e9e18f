import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";
import { declareMetrics } from "../src/cli/serve/metrics.ts";
import { createMetrics } from "../src/metrics.ts";

const root = join(import.meta.dirname, "..");

/**
 * Who may import whom; nobody else may. An adapter's area is its folder's name after `adapter:`;
 * what all adapters share stands beside adapters.ts, and in the folder shapes, and is `adapter-base`.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  main: ["cli", "adapters", "errors", "log", "metrics", "secrets", "text"],
  cli: [
    ...[
      "adapters",
      "controller",
      "usage",
      "migrate",
      "ownership",
      "doctor",
      "plan",
      "kube",
      "directory",
      "dns",
      "http",
    ],
    ...["config", "istio", "async", "model", "errors", "log", "metrics", "secrets", "text"],
  ],
  controller: ["plan", "istio", "async", "model", "errors", "log", "metrics"],
  usage: ["plan", "istio", "async", "model", "errors", "log", "metrics"],
  migrate: ["usage", "plan", "kube", "istio", "async", "model", "errors"],
  ownership: ["plan", "kube", "istio", "async", "model", "errors"],
  doctor: ["istio", "async", "model", "errors"],
  config: ["istio", "async", "model", "errors", "secrets"],
  adapters: ["adapter:*", "adapter-base", "istio", "async", "model", "errors", "log", "metrics"],
  "adapter:*": ["adapter-base", "istio", "async", "model", "errors", "log", "metrics", "secrets", "text"],
  "adapter-base": ["istio", "async", "model", "errors", "log", "metrics", "secrets", "text"],
  public: ["adapter-base", "plan", "model", "errors"],
  testing: ["adapter:*", "adapter-base", "istio", "model", "errors"],
  kube: ["istio", "async", "model", "errors", "log", "metrics", "text"],
  directory: ["istio", "async", "model", "errors", "log", "metrics"],
  dns: ["istio", "async", "model", "errors", "log", "metrics"],
  http: ["istio", "async", "model", "errors", "log", "metrics", "text"],
  plan: ["istio", "async", "model", "errors"],
  istio: ["model", "text"],
  async: [],
  model: [],
  errors: [],
  log: ["errors", "secrets", "text"],
  metrics: [],
  secrets: [],
  text: [],
};

/** Packages that only some areas may use; `node:` modules are packages too. */
const PACKAGES: readonly {
  readonly match: RegExp;
  readonly only?: readonly string[];
  readonly not?: readonly string[];
  readonly why: string;
}[] = [
  { match: /^@kubernetes\/client-node/, only: ["kube"], why: "only src/kube talks to a cluster" },
  { match: /^node-cron$/, only: ["controller", "config"], why: "only the loop has a schedule" },
  { match: /^dns2/, only: ["dns"], why: "only src/dns knows messages" },
  { match: /^commander$/, only: ["cli"], why: "only the command line has commands" },
  { match: /^node:(?:test|assert)/, only: ["testing"], why: "only the test kit tests" },
  { match: /./, not: ["model"], why: "the model imports nothing" },
  {
    match: /^node:(?:fs|http|https|dgram|child_process|os|timers)/,
    not: ["plan", "doctor"],
    why: "the plan and the doctor are pure",
  },
];

/** The folder of `adapters` that is no kind of registry. */
const SHARED = "shapes";

function areaOf(path: string): string {
  const [, top = "", rest = ""] = /^([^/]+)\/(.+)$/.exec(path) ?? [];
  const first = rest.split("/")[0] ?? "";
  if (top === "adapters" && first === SHARED) return "adapter-base";
  if (top === "adapters" && !rest.includes("/")) return rest === "adapters.ts" ? "adapters" : "adapter-base";
  if (top === "adapters") return `adapter:${first}`;
  return basename(first, ".ts");
}

function importsOf(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const found = code.matchAll(
    /\b(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g,
  );
  return [...found].map(([, from, bare]) => from ?? bare ?? "");
}

function brokenImports(path: string, source: string): string[] {
  const area = areaOf(path);
  const general = (name: string) => (name.startsWith("adapter:") ? "adapter:*" : name);
  return importsOf(source).flatMap((name) => {
    if (!name.startsWith("."))
      return PACKAGES.filter(
        ({ match, only, not }) =>
          match.test(name) && (only?.includes(general(area)) === false || not?.includes(area) === true),
      ).map(({ why }) => `${path} imports ${name}: ${why}`);
    const target = areaOf(join(dirname(path), name));
    const allowed = target === area || MAY_IMPORT[general(area)]?.includes(general(target)) === true;
    const siblings = general(area) === "adapter:*" && general(target) === "adapter:*" && target !== area;
    return allowed && !siblings ? [] : [`${path} imports ${name}: ${area} may not import ${target}`];
  });
}

const HABITS: readonly { readonly match: RegExp; readonly except?: RegExp; readonly why: string }[] = [
  {
    match: /\bprocess\s*\.\s*(?:env|argv|exit|exitCode|on|once)\b/,
    except: /^src\/main\.ts$/,
    why: "only main.ts uses env, argv, signals and exit codes",
  },
  { match: /^export default\b/m, why: "no default exports" },
  { match: /^\s*(?:export )?(?:declare )?(?:const )?enum \w/m, why: "no enums" },
  { match: /\bclass \w+(?! extends \w*Error\b)(?:\s|<|\{)/, why: "no classes but errors" },
  { match: /^\s*(?:export )?(?:let|var) /m, why: "no module-level state" },
];

function brokenHabits(path: string, source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const topLevel = code.replace(/^[ \t].*$/gm, ""); // the formatter indents all that is not top level
  const names = /(?:^|\/)(?:index\.ts|utils?(?:\.ts|\/))/.test(path) ? [`${path}: no index.ts, no utils`] : [];
  return [
    ...names,
    ...HABITS.filter(
      ({ match, except, why }) =>
        except?.test(path) !== true && match.test(why === "no module-level state" ? topLevel : code),
    ).map(({ why }) => `${path}: ${why}`),
  ];
}

const SECTIONS = ["Name", "Description", "Options", "Reads", "Mapping", "Metrics", "Examples", "Limits"];

function missingSections(readme: string): string[] {
  const headings = [...readme.matchAll(/^##? (.+)$/gm)].map(([, heading = ""]) => heading.trim());
  return SECTIONS.filter((section) => !headings.includes(section));
}

function fencedBlocksWith(readme: string, command: string): number {
  return [...readme.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].filter(([, body = ""]) =>
    body.split("\n").some((line) => line.trim() === command),
  ).length;
}

function brokenMetricName(name: string): string | undefined {
  if (!/^x2istio_[a-z0-9]+(?:_[a-z0-9]+)+$/.test(name)) return `${name} is not x2istio_<subsystem>_<name>_<unit>`;
  return /_(?:total|seconds|bytes|count|ratio|percent|info)$/.test(name) ? undefined : `${name} does not end in a unit`;
}

/** Files of a folder without those of the folders in it. */
const MOST_FILES = 20;
const MOST_LINES = 300;

const sources = globSync(["src/**/*.ts", "adapters/**/*.ts"], { cwd: root }).map((path) => ({
  path,
  text: readFileSync(join(root, path), "utf8"),
}));

test("imports go one way", () => {
  assert.ok(sources.length > 20, "the sources were not found");
  assert.deepEqual(
    sources.flatMap(({ path, text }) => brokenImports(path, text)),
    [],
  );
});

test("sources keep the house's habits", () => {
  assert.deepEqual(
    sources.flatMap(({ path, text }) => brokenHabits(path, text)),
    [],
  );
});

test("no folder holds more than 20 files", () => {
  const folders = Map.groupBy(sources, ({ path }) => dirname(path));
  assert.deepEqual(
    [...folders].flatMap(([folder, { length }]) => (length > MOST_FILES ? [`${folder}: ${length} files`] : [])),
    [],
  );
});

test("no file is longer than 300 lines", () => {
  const lengths = sources.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }));
  assert.deepEqual(
    lengths.filter(({ lines }) => lines > MOST_LINES).map(({ path, lines }) => `${path}: ${lines} lines`),
    [],
  );
});

for (const kind of readdirSync(join(root, "adapters"), { withFileTypes: true }).filter(
  (entry) => entry.isDirectory() && entry.name !== SHARED,
)) {
  test(`adapters/${kind.name}/README.md has all sections`, () => {
    assert.deepEqual(missingSections(readFileSync(join(root, "adapters", kind.name, "README.md"), "utf8")), []);
  });
}

for (const command of ["npm ci && npm start", "npm ci && npm test"]) {
  test(`README.md shows \`${command}\` in one fenced block`, () => {
    assert.equal(fencedBlocksWith(readFileSync(join(root, "README.md"), "utf8"), command), 1);
  });
}

test("metrics are named by subsystem and unit", async () => {
  const metrics = createMetrics();
  declareMetrics(metrics);
  const made = (await metrics.registry.getMetricsAsJSON())
    .map(({ name }) => name)
    .filter((name) => !/^(?:process|nodejs)_/.test(name));
  const written = sources.flatMap(({ text }) =>
    [...text.matchAll(/["'`](x2istio_\w*)["'`]/g)].map(([, name = ""]) => name),
  );
  assert.ok(made.length > 10);
  assert.deepEqual(
    [...new Set([...made, ...written])].flatMap((name) => brokenMetricName(name) ?? []),
    [],
  );
});

test("nothing in the project refers to what lies beside it", (t) => {
  if (!existsSync(join(root, ".git"))) return t.skip("not a git checkout");
  const beside = ["..", "shared"].join("/");
  const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    encoding: "utf8",
  }).split("\n");
  const present = files.filter((file) => file !== "" && existsSync(join(root, file)));
  assert.deepEqual(
    present.filter((file) => readFileSync(join(root, file), "utf8").includes(beside)),
    [],
  );
});

const bad: readonly { readonly name: string; readonly found: readonly unknown[] }[] = [
  { name: "the model importing a package", found: brokenImports("src/model/a.ts", `import { isIP } from "node:net";`) },
  {
    name: "the plan importing errors' neighbour log",
    found: brokenImports("src/plan/a.ts", `import type { Log } from "../log.ts";`),
  },
  {
    name: "the plan reading files",
    found: brokenImports("src/plan/a.ts", `import { readFile } from "node:fs/promises";`),
  },
  {
    name: "a client of Kubernetes outside kube",
    found: brokenImports("src/cli/a.ts", `import { KubeConfig } from "@kubernetes/client-node";`),
  },
  {
    name: "an adapter importing another",
    found: brokenImports("adapters/consul/a.ts", `import { x } from "../static/x.ts";`),
  },
  {
    name: "an adapter importing the config",
    found: brokenImports("adapters/consul/a.ts", `import { x } from "../../src/config.ts";`),
  },
  {
    name: "the adapters' base importing an adapter",
    found: brokenImports("adapters/options.ts", `import { x } from "./static/x.ts";`),
  },
  {
    name: "dns importing plan over two lines",
    found: brokenImports("src/dns/a.ts", `import {\n  x,\n} from "../plan/x.ts";`),
  },
  {
    name: "a command importing the test kit",
    found: brokenImports("src/cli/a.ts", `import { x } from "../testing/x.ts";`),
  },
  {
    name: "a test runner in an adapter",
    found: brokenImports("adapters/static/a.ts", `import { test } from "node:test";`),
  },
  {
    name: "the public face giving out the configuration",
    found: brokenImports("src/public.ts", `export type { Config } from "./config.ts";`),
  },
  { name: "a re-export", found: brokenImports("src/dns/a.ts", `export * from "../kube/x.ts";`) },
  { name: "a dynamic import", found: brokenImports("src/http/a.ts", `const x = await import("../kube/x.ts");`) },
  { name: "an import for effect", found: brokenImports("src/http/a.ts", `import "../kube/x.ts";`) },
  {
    name: "a controller importing a target",
    found: brokenImports("src/controller/a.ts", `import { x } from "../kube/x.ts";`),
  },
  { name: "env in a command", found: brokenHabits("src/cli/a.ts", `const x = process.env["HOME"];`) },
  { name: "a signal in a command", found: brokenHabits("src/cli/a.ts", `process.on("SIGTERM", stop);`) },
  { name: "a default export", found: brokenHabits("src/cli/a.ts", "export default function () {}") },
  { name: "an enum", found: brokenHabits("src/cli/a.ts", "export enum Colour { Red }") },
  { name: "a class", found: brokenHabits("src/cli/a.ts", "export class Server {}") },
  { name: "a class with a base", found: brokenHabits("src/cli/a.ts", "class Server extends Base {}") },
  { name: "module-level state", found: brokenHabits("src/cli/a.ts", "let count = 0;") },
  { name: "an index file", found: brokenHabits("src/cli/index.ts", "") },
  { name: "a utils folder", found: brokenHabits("src/utils/a.ts", "") },
  {
    name: "a README without Limits",
    found: missingSections(
      SECTIONS.slice(0, -1)
        .map((section) => `## ${section}\n`)
        .join("\n"),
    ),
  },
  { name: "a metric without a unit", found: [brokenMetricName("x2istio_pass_held")].filter(Boolean) },
  { name: "a metric without a subsystem", found: [brokenMetricName("x2istio_total")].filter(Boolean) },
];
for (const { name, found } of bad) test(`the rules catch ${name}`, () => assert.equal(found.length, 1));

test("the rules let pass what is meant to", () => {
  assert.deepEqual(
    brokenImports(
      "src/kube/a.ts",
      `import type { Log } from "../log.ts";\nimport { x } from "./x.ts";\nimport { K } from "@kubernetes/client-node";`,
    ),
    [],
  );
  assert.deepEqual(brokenImports("adapters/adapters.ts", `import { x } from "./static/static.ts";`), []);
  assert.deepEqual(
    brokenImports("src/plan/a.ts", `// import { x } from "../kube/x.ts";\n/* import "../dns/x.ts" */`),
    [],
  );
  assert.deepEqual(brokenHabits("src/main.ts", "process.exitCode = 1;"), []);
  assert.deepEqual(brokenHabits("src/errors.ts", "export class ConfigError extends Error {\n  let x = 0;\n}"), []);
  assert.deepEqual(missingSections(SECTIONS.map((section) => `## ${section}\n`).join("\n")), []);
  assert.equal(
    fencedBlocksWith("```sh\nnpm ci && npm start\n```\ntext `npm ci && npm start`\n", "npm ci && npm start"),
    1,
  );
});
