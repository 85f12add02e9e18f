// What `npm test` runs: types and style, then the programs and servers that the suites need, then the suites.
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { meshServers } from "./mesh/network.ts";
import { ensureServers, noServers } from "./servers/build.ts";
import { installPrograms } from "./servers/programs.ts";

const only = process.argv.slice(2);

await must("biome", ["check", "--error-on-warnings"]);
await must("tsc", ["-p", "."]);
await installPrograms();
if ((await ensureServers([...meshServers, "istioctl", "kubectl"])) === undefined) {
  process.stderr.write(`The suites that need real servers are skipped: ${noServers}.\n`);
}
// One more than cores: much of a suite's time is waiting for servers.
const concurrency = Math.max(2, availableParallelism()) + 1;
const files = only.length > 0 ? only : ["test/**/*.test.ts"];
process.exitCode = await run(process.execPath, ["--test", `--test-concurrency=${concurrency}`, ...files]);

/** Run a tool of the project's own; its failure ends everything. */
async function must(tool: string, args: readonly string[]): Promise<void> {
  process.stderr.write(`${tool} ${args.join(" ")}\n`);
  const code = await run(`node_modules/.bin/${tool}`, args);
  if (code !== 0) process.exit(code);
}

function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit" });
    child.once("error", reject).once("exit", (code) => resolve(code ?? 1));
  });
}
