import { type Command, Option } from "commander";
import type { AdoptOptions } from "../adopt.ts";
import type { ReleaseOptions } from "../release.ts";
import type { UninstallOptions } from "../uninstall.ts";
import type { Actions } from "./action.ts";
import { outputOption, renaming } from "./options.ts";

/** Declare the commands that change whose objects are: prune, adopt, release, uninstall. */
export function addOwnership(program: Command, actions: Actions): void {
  addPrune(program, actions);
  addAdopt(program, actions);
  addRelease(program, actions);
  addUninstall(program, actions);
}

function addPrune(program: Command, { once }: Actions): void {
  program
    .command("prune")
    .description("delete the objects of a registry that has left the configuration")
    .requiredOption("--registry <name>", "the registry")
    .option("--dry-run", "only show what would be deleted", false)
    .action(
      once(async (context, options: { registry: string; dryRun: boolean }) =>
        (await import("../prune.ts")).pruneCommand(context, options),
      ),
    );
}

function addAdopt(program: Command, { once }: Actions): void {
  program
    .command("adopt")
    .description(
      "take over objects that others made, without a gap; without arguments list them; exit code 0: done, 1: something was refused",
    )
    .argument("[objects...]", "<kind>/<namespace>/<name>, also of what was released")
    .option("--all", "all objects that conflict with configured services", false)
    .option("--owner <name>", "all objects of that owner, which is the former name of this configuration's")
    .addOption(
      new Option("--renamed <old=new>", "all objects of a registry that has another name now").argParser(renaming),
    )
    .option("--dry-run", "only show what would be done", false)
    .addOption(outputOption())
    .action(
      once(async (context, options: Omit<AdoptOptions, "objects">, ...objects) =>
        (await import("../adopt.ts")).adoptCommand(context, { ...options, objects }),
      ),
    );
}

function addRelease(program: Command, { once }: Actions): void {
  program
    .command("release")
    .description(
      "leave objects as they are from now on, for others to change; exit code 0: done, 1: something was refused",
    )
    .argument("<names...>", "services, hosts, or objects as <kind>/<namespace>/<name>")
    .option("--strip", "take our labels and annotations off too: their names are no longer answered", false)
    .option("--dry-run", "only show what would be done", false)
    .addOption(outputOption())
    .action(
      once(async (context, options: Omit<ReleaseOptions, "names">, ...names) =>
        (await import("../release.ts")).releaseCommand(context, { ...options, names }),
      ),
    );
}

function addUninstall(program: Command, { once }: Actions): void {
  program
    .command("uninstall")
    .description("delete every object of this owner from the target, and nothing else; exit code 0: done, 1: failed")
    .option("--dry-run", "only list what would be deleted", false)
    .addOption(outputOption())
    .action(
      once(async (context, options: UninstallOptions) =>
        (await import("../uninstall.ts")).uninstallCommand(context, options),
      ),
    );
}
