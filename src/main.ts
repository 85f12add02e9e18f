#!/usr/bin/env node
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { styleText } from "node:util";
import { Command, InvalidArgumentError, Option } from "commander";
import { adapters } from "../adapters/adapters.ts";
import type { AdoptOptions } from "./cli/adopt.ts";
import type { CliContext, ExitCode, Format, Output } from "./cli/context.ts";
import type { DoctorOptions } from "./cli/doctor.ts";
import type { MigrateViewOptions } from "./cli/migrate.ts";
import type { StepOptions } from "./cli/migrate-step.ts";
import type { ReleaseOptions } from "./cli/release.ts";
import type { ReportOptions } from "./cli/report.ts";
import type { UninstallOptions } from "./cli/uninstall.ts";
import { durationMs } from "./config/fields.ts";
import { CHECKS, type CheckName } from "./doctor/finding.ts";
import { ConfigError, describeError } from "./errors.ts";
import { createLog, type LogLevel } from "./log.ts";
import { createMetrics } from "./metrics.ts";

interface GlobalOptions {
  readonly config: string;
  readonly logLevel?: LogLevel;
}

const DAY_MS = 86_400_000;

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
      "how much to log to standard error (default: info for run and dns, warn otherwise)",
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
  .command("dns")
  .description("answer DNS from what stands in the target, or from another x2istio, and write nothing, until stopped")
  .option("--from <url>", "the HTTP address of an x2istio that runs, such as http://x2istio.example.org:8080")
  .action(
    command("info", async (context, options: { from?: string }) =>
      (await import("./cli/dns.ts")).dnsCommand(context, options),
    ),
  );
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
  .command("adopt")
  .description(
    "take over objects that others made, without a gap; without arguments list them; exit code 0: done, 1: something was refused",
  )
  .argument("[objects...]", "<kind>/<namespace>/<name>, also of what was released")
  .option("--all", "all that stands in the way of configured services", false)
  .option("--owner <name>", "all objects of that owner: what this configuration's own was called before")
  .addOption(
    new Option("--renamed <old=new>", "all objects of a registry that has another name now").argParser(renaming),
  )
  .option("--dry-run", "only show what would be done", false)
  .addOption(output())
  .action(
    command("warn", async (context, options: Omit<AdoptOptions, "objects">, ...objects) =>
      (await import("./cli/adopt.ts")).adoptCommand(context, { ...options, objects }),
    ),
  );
program
  .command("release")
  .description(
    "leave objects as they are from now on, for others to change; exit code 0: done, 1: something was refused",
  )
  .argument("<names...>", "services, hosts, or objects as <kind>/<namespace>/<name>")
  .option("--strip", "take our labels and annotations off too: their names are no longer answered", false)
  .option("--dry-run", "only show what would be done", false)
  .addOption(output())
  .action(
    command("warn", async (context, options: Omit<ReleaseOptions, "names">, ...names) =>
      (await import("./cli/release.ts")).releaseCommand(context, { ...options, names }),
    ),
  );
program
  .command("uninstall")
  .description("delete every object of this owner from the target, and nothing else; exit code 0: done, 1: failed")
  .option("--dry-run", "only list what would be deleted", false)
  .addOption(output())
  .action(
    command("warn", async (context, options: UninstallOptions) =>
      (await import("./cli/uninstall.ts")).uninstallCommand(context, options),
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
  .command("doctor")
  .description("check a cluster before or after installation, and write nothing; exit code 0: all is fine, 1: not")
  .addOption(
    new Option("--skip <checks>", `checks to leave out (comma-separated): ${CHECKS.join(", ")}`)
      .argParser(checkList)
      .default([], "none"),
  )
  .option(
    "--as <user>",
    "whose rights to check instead of one's own, such as system:serviceaccount:x2istio-system:x2istio",
  )
  .option("--istio-namespace <name>", "where istiod has its configuration", "istio-system")
  .option("--dns-namespace <name>", "where the cluster's DNS has its configuration", "kube-system")
  .addOption(output())
  .action(
    command("warn", async (context, options: DoctorOptions) =>
      (await import("./cli/doctor.ts")).doctorCommand(context, options),
    ),
  );
const migrate = program
  .command("migrate")
  .description("move services into the cluster, step by step and back; status, check and plan write nothing");
const seenBy = () =>
  new Option("--from <urls>", "HTTP addresses of all replicas, which know the callers (comma-separated)")
    .argParser(list)
    .default([], "the configuration's http.listen");
migrate
  .command("status")
  .description("show where every service is, who calls it, who claims it, and what is in the way")
  .addOption(seenBy())
  .addOption(output())
  .action(
    command("warn", async (context, options: MigrateViewOptions) =>
      (await import("./cli/migrate.ts")).statusCommand(context, options),
    ),
  );
migrate
  .command("plan")
  .description("show in which order to move services, the fewest callers first, and how to go on with each")
  .addOption(seenBy())
  .addOption(output())
  .action(
    command("warn", async (context, options: MigrateViewOptions) =>
      (await import("./cli/migrate.ts")).orderCommand(context, options),
    ),
  );
migrate
  .command("check")
  .description("show all that a service's move needs; exit code 0: nothing is missing, 1: something is")
  .argument("<name>", "service, host, legacy name, alias, VIP, or the Service that replaces it")
  .addOption(output())
  .action(
    command("warn", async (context, options: { output: Format }, name) =>
      (await import("./cli/migrate.ts")).checkCommand(context, { ...options, name }),
    ),
  );
for (const [name, stage, about] of [
  ["split", "split", "lead a share of the calls to the Service that replaces it"],
  ["move", "inside", "lead all calls there, and aliases and legacy names, too"],
  ["retire", "retired", "say that the registry needs not have it any more"],
  ["back", "outside", "lead all calls to the registry's endpoints again"],
] as const) {
  const step = migrate
    .command(name)
    .description(`${about}; exit code 0: it is so, 1: it was refused or is not so in time`)
    .argument("<name>", "service, host, legacy name, alias, VIP, or the Service that replaces it")
    .addOption(
      new Option("--timeout <duration>", "how long to wait until it is so").argParser(duration).default(60_000, "1m"),
    )
    .option(
      "--istiod <url>",
      "istiod's debug interface, such as http://127.0.0.1:8080 of a port-forward, to ask it, too",
    )
    .option("--dry-run", "only show what would become of the objects", false)
    .addOption(output());
  if (stage === "split")
    step.addOption(new Option("--weight <percent>", "0 to 100").argParser(percent).makeOptionMandatory());
  step.action(
    command("warn", async (context, options: Omit<StepOptions, "name" | "want"> & { weight?: number }, named) =>
      (await import("./cli/migrate-step.ts")).stepCommand(context, {
        ...options,
        name: named,
        want: { stage, weight: options.weight ?? (stage === "outside" ? 0 : 100) },
      }),
    ),
  );
}
program
  .command("report")
  .description("show who still calls services by legacy names, what is not yet moved, and what nobody asks for")
  .addOption(
    new Option(
      "--from <urls>",
      "HTTP addresses of all replicas (comma-separated), such as http://x2istio.example.org:8080",
    )
      .argParser(list)
      .default([], "the configuration's http.listen"),
  )
  .addOption(
    new Option("--idle <duration>", "list services that nobody asked for in so long")
      .argParser(duration)
      .default(30 * DAY_MS, "30d"),
  )
  .addOption(new Option("-o, --output <format>", "how to print").choices(["text", "json", "csv"]).default("text"))
  .action(
    command("warn", async (context, options: ReportOptions) =>
      (await import("./cli/report.ts")).reportCommand(context, options),
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
  run: (context: CliContext, options: Options, ...given: string[]) => Promise<ExitCode>,
) {
  return async (...given: unknown[]): Promise<void> => {
    const self = given.at(-1) as Command;
    const options = self.opts() as Options;
    const globals = program.opts<GlobalOptions>();
    const context = contextOf(globals, globals.logLevel ?? level);
    try {
      process.exitCode = await run(context, options, ...self.args);
    } catch (error) {
      context.out.progress("");
      // What was stopped by a signal has ended as it should.
      if (stop.signal.aborted && ["run", "dns"].includes(self.name()) && !(error instanceof ConfigError))
        process.exitCode = 0;
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

function renaming(text: string): { readonly from: string; readonly to: string } {
  const [from = "", to = "", ...more] = text.split("=");
  if (from === "" || to === "" || more.length > 0) throw new InvalidArgumentError("A renaming is <old>=<new>.");
  return { from, to };
}

function percent(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 100)
    throw new InvalidArgumentError("It is a whole number from 0 to 100.");
  return Number(text);
}

function duration(text: string): number {
  try {
    return durationMs(text);
  } catch (error) {
    throw new InvalidArgumentError(`It ${(error as Error).message}.`);
  }
}

function checkList(text: string): readonly CheckName[] {
  return list(text).map((name) => {
    const check = CHECKS.find((one) => one === name);
    if (check === undefined) throw new InvalidArgumentError(`Checks are ${CHECKS.join(", ")}.`);
    return check;
  });
}

/** Beside the sources, or two folders up in the published build. */
function findPackage(): URL {
  const near = new URL("../package.json", import.meta.url);
  return import.meta.url.includes("/dist/") ? new URL("../../package.json", import.meta.url) : near;
}
