import { loadConfig } from "../config/load.ts";
import { deleteAction, planUninstall, uninstall } from "../ownership/uninstall.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { concludeActions } from "./print/ownership.ts";
import { openTarget } from "./setup/target.ts";

export interface UninstallOptions {
  readonly dryRun: boolean;
  readonly output: Format;
}

/**
 * Remove every object of this owner, what points to a service before its entry, and let its VIPs rest. 0: done or listed, 1: failed.
 *
 * Registries are not read. What is not ours stays, and so does what was released or taken over, and the ledger, which others share.
 *
 * @throws When another process is at work on the target.
 */
export async function uninstallCommand(context: CliContext, options: UninstallOptions): Promise<ExitCode> {
  const { signal, out } = context;
  const config = await loadConfig(context.configFile, context.configContext);
  const opened = await openTarget(config, context);
  const { target, editor } = opened;
  try {
    await target.start({ watch: false, signal });
    const isDryRun = options.dryRun || config.policy.mode === "dry-run";
    const { remove, left } = planUninstall(target.standing());
    const results = isDryRun
      ? remove.map(deleteAction)
      : await uninstall(remove, {
          ...{ target, editor, signal, settings: config },
          acquire: (until) => opened.acquire(until),
          onProgress: (done, total) => out.progress(`deleting ${done} of ${total}`),
          onDeleted: () => out.progress(""),
        });
    const notes = ["The VIP ledger stays: its addresses are in quarantine, and other owners may share it."];
    return concludeActions(context, [...results, ...left], { output: options.output, isDryRun, notes });
  } finally {
    await opened.close();
  }
}
