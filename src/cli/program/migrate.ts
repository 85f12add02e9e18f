import { type Command, Option } from "commander";
import type { Format } from "../context.ts";
import type { MigrateViewOptions } from "../migrate.ts";
import type { StepOptions } from "../migrate-step.ts";
import type { Actions } from "./action.ts";
import { caOption, duration, outputOption, percent, replicasOption, tokenFileOption } from "./options.ts";

const NAME = "service, host, legacy name, alias, VIP, or the Service that replaces it";

const STEPS = [
  { name: "split", stage: "split", about: "route a share of the calls to the Service that replaces it" },
  { name: "move", stage: "inside", about: "route all calls to that Service, by aliases and legacy names too" },
  { name: "retire", stage: "retired", about: "declare that the registry need not list it any more" },
  { name: "back", stage: "outside", about: "route all calls to the registry's endpoints again" },
] as const;

/** Declare `migrate` and the commands below it. */
export function addMigrate(program: Command, actions: Actions): void {
  const migrate = program
    .command("migrate")
    .description("move services into the cluster, step by step and back; status, check and plan write nothing");
  addViews(migrate, actions);
  for (const step of STEPS) addStep(migrate, step, actions);
}

function addViews(migrate: Command, { once }: Actions): void {
  const replicas = () => replicasOption("HTTP addresses of all replicas, which know the callers (comma-separated)");
  migrate
    .command("status")
    .description("show where every service is, who calls it, who claims it, and what is in the way")
    .addOption(replicas())
    .addOption(tokenFileOption())
    .addOption(caOption())
    .addOption(outputOption())
    .action(
      once(async (context, options: MigrateViewOptions) =>
        (await import("../migrate.ts")).statusCommand(context, options),
      ),
    );
  migrate
    .command("plan")
    .description("show in which order to move services, the fewest callers first, and the next step for each")
    .addOption(replicas())
    .addOption(tokenFileOption())
    .addOption(caOption())
    .addOption(outputOption())
    .action(
      once(async (context, options: MigrateViewOptions) =>
        (await import("../migrate.ts")).orderCommand(context, options),
      ),
    );
  migrate
    .command("check")
    .description("show all that a service's move needs; exit code 0: nothing is missing, 1: something is")
    .argument("<name>", NAME)
    .addOption(outputOption())
    .action(
      once(async (context, options: { output: Format }, name) =>
        (await import("../migrate.ts")).checkCommand(context, { ...options, name }),
      ),
    );
}

function addStep(migrate: Command, { name, stage, about }: (typeof STEPS)[number], { once }: Actions): void {
  const step = migrate
    .command(name)
    .description(`${about}; exit code 0: effective, 1: refused, or not effective in time`)
    .argument("<name>", NAME)
    .addOption(
      new Option("--timeout <duration>", "how long to wait until it is effective")
        .argParser(duration)
        .default(60_000, "1m"),
    )
    .option(
      "--istiod <url>",
      "istiod's debug interface, such as http://127.0.0.1:8080 of a port-forward, to wait for it too",
    )
    .option("--dry-run", "only show how the objects would change", false)
    .addOption(outputOption());
  if (stage === "split")
    step.addOption(new Option("--weight <percent>", "0 to 100").argParser(percent).makeOptionMandatory());
  step.action(
    once(async (context, options: Omit<StepOptions, "name" | "want"> & { weight?: number }, named) =>
      (await import("../migrate-step.ts")).stepCommand(context, {
        ...options,
        name: named,
        want: { stage, weight: options.weight ?? (stage === "outside" ? 0 : 100) },
      }),
    ),
  );
}
