import { describeError } from "../errors.ts";
import type { Delete } from "../model/plan.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { type Once, once } from "./once.ts";
import { count } from "./text.ts";

export interface PruneOptions {
  readonly registry: string;
  readonly dryRun: boolean;
}

/** Remove the objects of a registry that has left the configuration. 0: done or nothing to do, 1: failed. */
export async function pruneCommand(context: CliContext, { registry, ...options }: PruneOptions): Promise<ExitCode> {
  return once(context, async (opened) => {
    const { config, target } = opened;
    const dryRun = options.dryRun || config.policy.mode === "dry-run";
    const { line } = context.out;
    // The members of a merge group but the first make no objects: what stands under their name is from before.
    const speaksForItself =
      config.registries.some(({ name }) => name === registry) && config.merge.indexOf(registry) < 1;
    if (speaksForItself)
      throw new Error(
        `Cannot prune "${registry}" as it must have left the configuration: its services go when it no longer lists them`,
      );
    const changes = [...target.standing().objects.values()]
      .filter((object) => object.registry === registry && object.service !== undefined && object.yielded === undefined)
      .map((standing): Delete => ({ kind: "delete", standing, why: "its registry was pruned" }))
      .sort((a, b) => (a.standing.key < b.standing.key ? -1 : 1));
    for (const { standing } of changes) line(`- ${standing.key}`);
    if (changes.length === 0) line(`No object of registry ${registry} stands.`);
    if (dryRun) line(`${count(changes.length, "object")} would be deleted. Nothing was written.`);
    return dryRun || changes.length === 0 ? 0 : remove(context, opened, changes);
  });
}

async function remove(
  context: CliContext,
  { target, opened, compute }: Once,
  changes: readonly Delete[],
): Promise<ExitCode> {
  const { line } = context.out;
  const claim = await opened.claim(context.signal);
  if (claim.holder !== undefined)
    throw new Error(`Cannot prune as ${claim.holder} is at work on this target: stop it first`);
  try {
    const options = { signal: context.signal, mayWrite: () => claim.mayWrite() && !context.signal.aborted };
    const { results } = await target.write(changes, options);
    const failed = results.filter(({ outcome }) => outcome !== "written");
    for (const { change, outcome, error } of failed) {
      line(
        `x ${change.kind === "delete" ? change.standing.key : ""}    ${error === undefined ? outcome : describeError(error)}`,
      );
    }
    // The freed VIPs begin their rest.
    const releases = compute().ledger?.writes ?? [];
    if (releases.length > 0) await target.writeLedger(releases, options);
    line(
      `${count(results.length - failed.length, "object")} deleted${failed.length > 0 ? `, ${failed.length} not` : ""}.`,
    );
    return failed.length > 0 ? 1 : 0;
  } finally {
    await claim.release();
  }
}
