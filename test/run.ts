// What `npm test`, `npm run test:quick` and `npm run test:long` run; see .github/CONTRIBUTING.md.
import { spawn } from "node:child_process";
import { globSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { needsOf, testFiles } from "./needs.ts";
import { ensureServers, noServers } from "./servers/build.ts";
import { installPrograms } from "./servers/programs.ts";

/** Compiled modules of this version of Node: most of the time in which a small test file, or x2istio itself, starts. */
const COMPILED = resolve("node_modules/.cache/x2istio-tests");
/** What the compiler knows from the last time: it takes a fifth of the time. */
const TYPES = resolve("node_modules/.cache/x2istio-types.json");
const TYPE_CHECK = ["-p", ".", "--incremental", "--tsBuildInfoFile", TYPES];
const MINUTE_MS = 60_000;
/** What a test may take at most, unless it says otherwise, so that one that hangs is named. */
const TIMEOUTS_MS = { quick: 2 * MINUTE_MS, normal: 10 * MINUTE_MS, full: 60 * MINUTE_MS };

const { values, positionals } = parseArgs({
  options: { quick: { type: "boolean", default: false }, long: { type: "boolean", default: false } },
  allowPositionals: true,
});
const size = values.quick ? "quick" : values.long ? "full" : "normal";

if (positionals.length > 0) await testThese(positionals.flatMap(filesOf));
else if (values.quick) await testQuick();
else await testAll();

/** Types and style, then the programs and servers that the tests need, then all tests. */
async function testAll(): Promise<void> {
  await must("biome", ["check", "--error-on-warnings"]);
  await must("tsc", TYPE_CHECK);
  await installPrograms();
  const files = testFiles();
  await build(files);
  await runTests(files);
}

/** Types and style, and all tests that Node can run alone. */
async function testQuick(): Promise<void> {
  await Promise.all([must("biome", ["check", "--error-on-warnings"]), must("tsc", TYPE_CHECK)]);
  const files = testFiles().filter((file) => needsOf(file).isQuick);
  await runTests(files);
}

/** These files at once. */
async function testThese(files: readonly string[]): Promise<void> {
  await build(files);
  await runTests(files);
}

/** The files that an argument means: a file, a pattern or a folder. */
function filesOf(argument: string): string[] {
  const isFolder = statSync(argument, { throwIfNoEntry: false })?.isDirectory() === true;
  const files = globSync(isFolder ? join(argument, "**/*.test.ts") : argument);
  if (files.length === 0) throw new Error(`Cannot test "${argument}" as there is no such file`);
  return files.sort();
}

/** Build the servers that these files need. */
async function build(files: readonly string[]): Promise<void> {
  const servers = [...new Set(files.flatMap((file) => needsOf(file).servers))];
  if (servers.length > 0 && (await ensureServers(servers)) === undefined)
    process.stderr.write(`The tests that need real servers are skipped: ${noServers}.\n`);
}

async function runTests(files: readonly string[]): Promise<void> {
  // More than cores: much of the time is waiting, for servers, and in the quick tests for timers.
  const cores = Math.max(2, availableParallelism());
  const concurrency = size === "quick" ? cores * 4 : cores + 1;
  const options = ["--test", `--test-concurrency=${concurrency}`, `--test-timeout=${TIMEOUTS_MS[size]}`];
  process.exitCode = await run(process.execPath, [...options, ...files]);
}

/** Run a tool of the project's own; its failure ends everything. */
async function must(tool: string, args: readonly string[]): Promise<void> {
  process.stderr.write(`${tool} ${args.join(" ")}\n`);
  const code = await run(`node_modules/.bin/${tool}`, args);
  if (code !== 0) process.exit(code);
}

function run(command: string, args: readonly string[]): Promise<number> {
  const env = {
    ...process.env,
    X2ISTIO_TEST_SIZE: size,
    ...(size === "quick" ? { NODE_COMPILE_CACHE: COMPILED } : {}),
  };
  return new Promise((end, reject) => {
    const child = spawn(command, args, { stdio: "inherit", env });
    child.once("error", reject).once("exit", (code) => end(code ?? 1));
  });
}
