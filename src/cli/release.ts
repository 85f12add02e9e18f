import { loadConfig } from "../config/load.ts";
import { takeActions } from "../ownership/actions.ts";
import { releaseActions } from "../ownership/release.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { concludeActions } from "./print/ownership.ts";
import { openTarget } from "./setup/target.ts";

export interface ReleaseOptions {
  /** Services, hosts, or objects as `<kind>/<namespace>/<name>`. */
  readonly names: readonly string[];
  /** Take off all that says that it was ours, too. */
  readonly strip: boolean;
  readonly dryRun: boolean;
  readonly output: Format;
}

/**
 * Give up objects: they stay as they are, and whoever has them may change them. 0: done, 1: something was refused.
 *
 * Their names go on being answered, and their VIPs stay theirs, until they are stripped of our labels.
 */
export async function releaseCommand(context: CliContext, options: ReleaseOptions): Promise<ExitCode> {
  const { names, strip: isStripped, output } = options;
  const { signal } = context;
  const config = await loadConfig(context.configFile, context.configContext);
  const { target, editor, close } = await openTarget(config, context);
  try {
    if (editor === undefined)
      throw new Error("Cannot release as target.kind must be kubernetes: in a folder, edit the files");
    await target.start({ watch: false, signal });
    const isDryRun = options.dryRun || config.policy.mode === "dry-run";
    const actions = await releaseActions(target.standing(), editor, { names, isStripped, nowMs: target.nowMs() });
    const results = await takeActions(actions, { isDryRun, signal });
    const released = results.some(({ kind }) => kind === "release");
    const notes = released && isStripped ? ["Their names are no longer answered here."] : [];
    return concludeActions(context, results, { output, isDryRun, notes });
  } finally {
    await close();
  }
}
