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
/** Tests of pure code: they wait for nothing, and for most of them a process of their own costs more than what they do in it. */
const PURE = /^test\/(?:plan|istio|model|doctor|usage|ownership)\//;
/** Long ones that come last by their names: they begin with the others, so that no core is idle at the end. */
const LONG = /^test\/(?:soak|strangers|testing)\//;
const MINUTE_MS = 60_000;
/** What a test may take at most, unless it says otherwise, so that one that hangs is named. */
const TIMEOUTS_MS = { quick: 2 * MINUTE_MS, normal: 10 * MINUTE_MS, full: 60 * MINUTE_MS };

const CORES = Math.max(2, availableParallelism());

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
  await runAll(files);
}

/** Types and style, and all tests that Node can run alone. */
async function testQuick(): Promise<void> {
  await Promise.all([must("biome", ["check", "--error-on-warnings"]), must("tsc", TYPE_CHECK)]);
  const files = testFiles().filter((file) => needsOf(file).isQuick);
  await runAll(files);
}

/** These files at once. */
async function testThese(files: readonly string[]): Promise<void> {
  await build(files);
  process.exitCode = await runTests(files);
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

/** Those of pure code in one process, beside the long ones and all others, each of which has its own. */
async function runAll(files: readonly string[]): Promise<void> {
  const kindOf = (file: string) =>
    LONG.test(file) ? "long" : PURE.test(file) && needsOf(file).isQuick ? "pure" : "other";
  const { long = [], pure = [], other = [] } = Object.groupBy(files, kindOf);
  const codes = await Promise.all([
    runTests(other, ["--test-concurrency", `${size === "quick" ? CORES * 3 : CORES}`]),
    runTests(long, ["--test-concurrency", "1"]),
    runTests(pure, ["--test-isolation=none"]),
  ]);
  process.exitCode = Math.max(...codes);
}

/** More than cores: much of the time is waiting, for servers, and in the quick tests for timers. */
function runTests(files: readonly string[], how = ["--test-concurrency", `${CORES + 1}`]): Promise<number> {
  return run(process.execPath, ["--test", `--test-timeout=${TIMEOUTS_MS[size]}`, ...how, ...files]);
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
