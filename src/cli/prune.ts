import { setTimeout as delay } from "node:timers/promises";
import { describeError } from "../errors.ts";
import type { ObjectKey } from "../model/objects.ts";
import type { Delete } from "../model/plan.ts";
import type { WriteResult } from "../model/target.ts";
import { deleteObjects } from "../ownership/delete-objects.ts";
import { configuredRegistries, orphansOf } from "../ownership/prune.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { count } from "./print/text.ts";
import { type Once, once } from "./setup/once.ts";

export interface PruneOptions {
  readonly registry: string;
  readonly dryRun: boolean;
}

/**
 * Remove the objects of a registry that has left the configuration; where another process writes, it is asked to. 0: done or nothing to do,
 * 1: failed.
 */
export async function pruneCommand(context: CliContext, { registry, ...options }: PruneOptions): Promise<ExitCode> {
  const prune = async (opened: Once): Promise<ExitCode> => {
    const { config, target } = opened;
    const dryRun = options.dryRun || config.policy.mode === "dry-run";
    const { line } = context.out;
    const changes = orphansOf(target.standing(), registry, configuredRegistries(config));
    if (dryRun) for (const { standing } of changes) line(`- ${standing.key}`);
    if (changes.length === 0) line(`The target has no object of registry ${registry}.`);
    if (dryRun) line(`${count(changes.length, "object")} would be deleted. Nothing was written.`);
    if (dryRun || changes.length === 0) return 0;
    const right = await opened.opened.acquire(context.signal);
    if (right.holder !== undefined) return askHolder(context, opened, registry, right.holder, changes);
    return remove(context, opened, changes, async () => right);
  };
  return once(context, prune, { watch: true });
}

async function remove(
  { out: { line }, signal }: CliContext,
  { target, decide }: Once,
  changes: readonly Delete[],
  acquire: Parameters<typeof deleteObjects>[2]["acquire"],
): Promise<ExitCode> {
  const isFailed = ({ outcome }: WriteResult) => outcome !== "written";
  const results = await deleteObjects("prune", changes, {
    target,
    acquire,
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

/** How long nothing may happen before it is given up. */
const PATIENCE_MS = 60_000;
const LOOK_MS = 500;

/** Let the process that writes delete them, and tell what is gone as it goes. */
async function askHolder(
  { out: { line }, signal }: CliContext,
  { target, opened }: Once,
  registry: string,
  holder: string,
  changes: readonly Delete[],
): Promise<ExitCode> {
  const hasRefused = await opened.askToPrune(registry);
  line(`${holder} is the leader and was asked to delete ${count(changes.length, "object")} of registry ${registry}.`);
  const left = new Map(changes.map(({ standing }) => [standing.key, standing.uid]));
  const isGone = ([key, uid]: readonly [ObjectKey, string]) => {
    const now = target.standing().objects.get(key);
    // What somebody's finalizer keeps has been deleted, too: it is gone once that lets go of it.
    return now === undefined || now.uid !== uid || now.terminating !== undefined;
  };
  let sinceMs = performance.now();
  while (left.size > 0) {
    for (const one of left)
      if (isGone(one)) {
        line(`- ${one[0]}`);
        left.delete(one[0]);
        sinceMs = performance.now();
      }
    if (left.size === 0) break;
    const why = `Cannot prune "${registry}" as ${holder}`;
    if (await hasRefused())
      throw new Error(`${why} refuses: in the configuration that it runs with, ${registry} is a registry`);
    if (performance.now() - sinceMs >= PATIENCE_MS)
      throw new Error(
        `${why} has deleted ${changes.length - left.size} of ${count(changes.length, "object")} and nothing more for ${PATIENCE_MS / 1000} s: its log says why`,
      );
    await delay(LOOK_MS, undefined, { signal });
  }
  line(`${count(changes.length, "object")} deleted.`);
  return 0;
}

function keyOf({ change }: WriteResult): string {
  return change.kind === "delete" ? change.standing.key : "";
}

function failureLine(result: WriteResult): string {
  const { outcome, error } = result;
  return `x ${keyOf(result)}    ${error === undefined ? outcome : describeError(error)}`;
}
