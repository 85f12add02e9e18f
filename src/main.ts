#!/usr/bin/env node
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { styleText } from "node:util";
import { Command, InvalidArgumentError, Option } from "commander";
import { adapters } from "../adapters/adapters.ts";
import type { CliContext, ExitCode, Format, Output } from "./cli/context.ts";
import { ConfigError, describeError } from "./errors.ts";
import { createLog, type LogLevel } from "./log.ts";
import { createMetrics } from "./metrics.ts";

interface GlobalOptions {
  readonly config: string;
  readonly logLevel?: LogLevel;
}

const { version } = JSON.parse(readFileSync(findPackage(), "utf8")) as { version: string };
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // A second signal means: now.
    if (stop.signal.aborted) process.exit(1);
    stop.abort(new Error(`stopped by ${name}`));
  });
}
// `x2istio plan | head` closes our output: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const program = new Command("x2istio")
  .description("Keeps Istio ServiceEntries, ExternalName aliases and DNS answers in step with service registries.")
  .option("-c, --config <file>", "configuration file", "x2istio.yaml")
  .addOption(
    new Option(
      "--log-level <level>",
      "how much to log to standard error (default: info for run, warn otherwise)",
    ).choices(["trace", "debug", "info", "warn", "error", "silent"]),
  )
  .showHelpAfterError("(x2istio --help shows all commands)")
  .version(version, "-V, --version", "show the version");

const output = () => new Option("-o, --output <format>", "how to print").choices(["text", "json"]).default("text");

program
  .command("run")
  .description("keep the target in step, answer DNS and HTTP, until stopped")
  .action(command("info", async (context) => (await import("./cli/run.ts")).runCommand(context)));
program
  .command("apply")
  .description("make one pass; exit code 0: nothing to do, 2: changed, 3: something held, 1: failed")
  .addOption(
    new Option("--allow-deletes <registries>", "release the brake of these registries (comma-separated) for this pass")
      .argParser(list)
      .default([], "none"),
  )
  .addOption(output())
  .action(
    command("warn", async (context, options: { output: Format; allowDeletes: readonly string[] }) =>
      (await import("./cli/apply.ts")).applyCommand(context, options),
    ),
  );
program
  .command("plan")
  .description("show what a pass would change, and write nothing; exit code 0: nothing, 2: changes, 1: error")
  .addOption(output())
  .action(
    command("warn", async (context, options: { output: Format }) =>
      (await import("./cli/plan.ts")).planCommand(context, options),
    ),
  );
program
  .command("explain")
  .description("show all that is known of a service, host, legacy name, alias, VIP or endpoint address")
  .argument("<name>")
  .addOption(output())
  .action(
    command("warn", async (context, options: { output: Format }, name) =>
      (await import("./cli/explain.ts")).explainCommand(context, { ...options, name }),
    ),
  );
program
  .command("prune")
  .description("delete the objects of a registry that has left the configuration")
  .requiredOption("--registry <name>", "the registry")
  .option("--dry-run", "only show what would be deleted", false)
  .action(
    command("warn", async (context, options: { registry: string; dryRun: boolean }) =>
      (await import("./cli/prune.ts")).pruneCommand(context, options),
    ),
  );
program
  .command("validate")
  .description("check the configuration and the files of static registries")
  .addOption(output())
  .action(
    command("warn", async (context, options: { output: Format }) =>
      (await import("./cli/validate.ts")).validateCommand(context, options),
    ),
  );
program
  .command("version")
  .description("show the version")
  .action(() => {
    process.stdout.write(`${version}\n`);
  });

await program.parseAsync();

/** Run a command with its context; its result or error becomes the exit code. */
function command<Options>(
  level: LogLevel,
  run: (context: CliContext, options: Options, name: string) => Promise<ExitCode>,
) {
  return async (...given: unknown[]): Promise<void> => {
    const self = given.at(-1) as Command;
    const options = self.opts() as Options;
    const globals = program.opts<GlobalOptions>();
    const context = contextOf(globals, globals.logLevel ?? level);
    try {
      process.exitCode = await run(context, options, String(self.args[0] ?? ""));
    } catch (error) {
      context.out.progress("");
      // What was stopped by a signal has ended as it should.
      if (stop.signal.aborted && self.name() === "run" && !(error instanceof ConfigError)) process.exitCode = 0;
      else {
        const isStopped = stop.signal.aborted && !(error instanceof ConfigError);
        process.stderr.write(`${isStopped ? "Stopped before it was done" : describeError(error)}\n`);
        process.exitCode = 1;
      }
    }
  };
}

function contextOf({ config }: GlobalOptions, logLevel: LogLevel): CliContext {
  const metrics = createMetrics();
  const log = createLog({ level: logLevel, pretty: process.stderr.isTTY === true });
  return {
    configFile: config,
    configContext: { env: process.env, adapters },
    kubeconfig: process.env.KUBECONFIG,
    pod: podOf(process.env),
    createAdapter(registry, { dir }) {
      const kind = adapters[registry.kind];
      if (kind === undefined) throw new ConfigError(`kind: must be known: ${Object.keys(adapters).join(", ")}`);
      return kind.create(registry.options, {
        registry: registry.name,
        dir,
        metrics,
        log: log.child({ registry: registry.name }),
      });
    },
    log,
    metrics,
    signal: stop.signal,
    version,
    identity: `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`,
    out: terminal(),
  };
}

function podOf({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }: NodeJS.ProcessEnv) {
  return host === undefined || port === undefined ? undefined : { host, port };
}

function terminal(): Output {
  const isTerminal = process.stderr.isTTY === true;
  return {
    line: (text) => process.stdout.write(`${text}\n`),
    progress: (text) => {
      if (isTerminal) process.stderr.write(`\r\u001b[K${text}`);
    },
    style: (colour, text) => styleText(colour, text, { stream: process.stdout }),
  };
}

function list(text: string): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("Names are separated by single commas.");
  return names;
}

/** Beside the sources, or two folders up in the published build. */
function findPackage(): URL {
  const near = new URL("../package.json", import.meta.url);
  return import.meta.url.includes("/dist/") ? new URL("../../package.json", import.meta.url) : near;
}
