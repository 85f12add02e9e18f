import { Command, Option } from "commander";
import { CHECKS } from "../doctor/finding.ts";
import type { ApplyOptions } from "./apply.ts";
import type { Format } from "./context.ts";
import type { DoctorOptions } from "./doctor.ts";
import type { PlanOptions } from "./plan.ts";
import { type Actions, actionsOf, type Execute } from "./program/action.ts";
import { addMigrate } from "./program/migrate.ts";
import {
  caOption,
  detailedExitCodeOption,
  duration,
  list,
  listOf,
  outputOption,
  replicasOption,
  tokenFileOption,
} from "./program/options.ts";
import { addOwnership } from "./program/ownership.ts";
import type { ReportOptions } from "./report.ts";

const DAY_MS = 86_400_000;

/** What the command line needs of the process. */
export interface ProgramOptions {
  readonly version: string;
  readonly execute: Execute;
  /** Write a line to standard output. */
  readonly print: (line: string) => void;
}

/** All commands with their options, in the order in which the help shows them. A command's code is loaded when it is called. */
export function createProgram({ version, execute, print }: ProgramOptions): Command {
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
  const actions = actionsOf(program, execute);
  addServices(program, actions);
  addPass(program, actions);
  addOwnership(program, actions);
  addChecks(program, actions);
  addMigrate(program, actions);
  addReport(program, actions);
  program
    .command("version")
    .description("show the version")
    .action(() => print(version));
  return program;
}

function addServices(program: Command, { service }: Actions): void {
  program
    .command("run")
    .description("keep the target in step, answer DNS and HTTP, until stopped")
    .action(service(async (context) => (await import("./run.ts")).runCommand(context)));
  program
    .command("dns")
    .description("answer DNS from the objects in the target, or from another x2istio, and write nothing, until stopped")
    .option("--from <url>", "the HTTP address of an x2istio that runs, such as https://x2istio.example.org:8080")
    .action(
      service(async (context, options: { from?: string }) => (await import("./dns.ts")).dnsCommand(context, options)),
    );
}

/** What makes, or shows, one pass. */
function addPass(program: Command, { once }: Actions): void {
  program
    .command("apply")
    .description(
      "make one pass; exit code 0: done, 3: something is held that somebody has to decide about, 1: failed, a registry could not be read, or a brake is on (1 before 3)",
    )
    .addOption(
      new Option(
        "--allow-deletes <registries>",
        "release the brake of these registries (comma-separated) for this pass",
      )
        .argParser(list)
        .default([], "none"),
    )
    .addOption(detailedExitCodeOption())
    .addOption(outputOption())
    .action(
      once(async (context, options: ApplyOptions) => (await import("./apply.ts")).applyCommand(context, options)),
    );
  program
    .command("plan")
    .description(
      "show what a pass would change, and write nothing; exit code 0, or 1: a registry could not be read, or a brake is on",
    )
    .option("--verbose", "name each service that a registry lists and that is skipped", false)
    .addOption(detailedExitCodeOption())
    .addOption(outputOption())
    .action(once(async (context, options: PlanOptions) => (await import("./plan.ts")).planCommand(context, options)));
  program
    .command("explain")
    .description("show all that is known of a service, host, legacy name, alias, VIP or endpoint address")
    .argument("<name>")
    .addOption(outputOption())
    .action(
      once(async (context, options: { output: Format }, name) =>
        (await import("./explain.ts")).explainCommand(context, { ...options, name }),
      ),
    );
}

/** What finds faults of a configuration or a cluster. */
function addChecks(program: Command, { once }: Actions): void {
  program
    .command("validate")
    .description("check the configuration and the files of static registries")
    .addOption(outputOption())
    .action(
      once(async (context, options: { output: Format }) =>
        (await import("./validate.ts")).validateCommand(context, options),
      ),
    );
  program
    .command("doctor")
    .description("check a cluster before or after installation, and write nothing; exit code 0: all is fine, 1: not")
    .addOption(
      new Option("--skip <checks>", `checks to leave out (comma-separated): ${CHECKS.join(", ")}`)
        .argParser(listOf("Checks", CHECKS))
        .default([], "none"),
    )
    .option(
      "--as <user>",
      "whose rights to check instead of one's own, such as system:serviceaccount:x2istio-system:x2istio",
    )
    .option("--istio-namespace <name>", "where istiod has its configuration", "istio-system")
    .option("--dns-namespace <name>", "where the cluster's DNS has its configuration", "kube-system")
    .addOption(outputOption())
    .action(
      once(async (context, options: DoctorOptions) => (await import("./doctor.ts")).doctorCommand(context, options)),
    );
}

function addReport(program: Command, { once }: Actions): void {
  program
    .command("report")
    .description("show who still calls services by legacy names, what is not yet moved, and what nobody asks for")
    .addOption(
      replicasOption("HTTP addresses of all replicas (comma-separated), such as http://x2istio.example.org:8080"),
    )
    .addOption(tokenFileOption())
    .addOption(caOption())
    .addOption(
      new Option("--idle <duration>", "list services that nobody asked for in so long")
        .argParser(duration)
        .default(30 * DAY_MS, "30d"),
    )
    .addOption(outputOption(["text", "json", "csv"]))
    .action(
      once(async (context, options: ReportOptions) => (await import("./report.ts")).reportCommand(context, options)),
    );
}
