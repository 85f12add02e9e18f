import { describeError } from "../errors.ts";
import type { Delete } from "../model/plan.ts";
import type { WriteResult } from "../model/target.ts";
import { deleteObjects } from "../ownership/delete-objects.ts";
import { orphansOf } from "../ownership/prune.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { count } from "./print/text.ts";
import { type Once, once } from "./setup/once.ts";

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
    const names = config.registries.map(({ name }) => name);
    const changes = orphansOf(target.standing(), registry, { names, merge: config.merge });
    if (dryRun) for (const { standing } of changes) line(`- ${standing.key}`);
    if (changes.length === 0) line(`The target has no object of registry ${registry}.`);
    if (dryRun) line(`${count(changes.length, "object")} would be deleted. Nothing was written.`);
    return dryRun || changes.length === 0 ? 0 : remove(context, opened, changes);
  });
}

async function remove(
  { out: { line }, signal }: CliContext,
  { target, opened, decide }: Once,
  changes: readonly Delete[],
): Promise<ExitCode> {
  const isFailed = ({ outcome }: WriteResult) => outcome !== "written";
  const results = await deleteObjects("prune", changes, {
    target,
    acquire: (until) => opened.acquire(until),
    ledgerWrites: () => decide().ledger?.writes ?? [],
    onDeleted(all) {
      for (const result of all) line(isFailed(result) ? failureLine(result) : `- ${keyOf(result)}`);
    },
    signal,
  });
  const failed = results.filter(isFailed).length;
  line(`${count(results.length - failed, "object")} deleted${failed > 0 ? `, ${failed} not` : ""}.`);
  return failed > 0 ? 1 : 0;
}

function keyOf({ change }: WriteResult): string {
  return change.kind === "delete" ? change.standing.key : "";
}

function failureLine(result: WriteResult): string {
  const { outcome, error } = result;
  return `x ${keyOf(result)}    ${error === undefined ? outcome : describeError(error)}`;
}
