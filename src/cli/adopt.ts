import { setTimeout as delay } from "node:timers/promises";
import type { Standing } from "../model/standing.ts";
import { type OwnershipAction, takeActions } from "../ownership/actions.ts";
import { adoptActions } from "../ownership/adopt.ts";
import { ownerActions, renameActions } from "../ownership/succession.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { concludeActions } from "./print/ownership.ts";
import { once } from "./setup/once.ts";

export interface AdoptOptions {
  /** `<kind>/<namespace>/<name>` */
  readonly objects: readonly string[];
  readonly all: boolean;
  /** An owner whose objects are to be ours. */
  readonly owner?: string;
  /** A registry that has another name now. */
  readonly renamed?: { readonly from: string; readonly to: string };
  readonly dryRun: boolean;
  readonly output: Format;
}

/** Take over objects that others made, so that no caller sees a gap. 0: done, listed or waiting, 1: something was refused. */
export async function adoptCommand(context: CliContext, options: AdoptOptions): Promise<ExitCode> {
  return once(context, async ({ config, decide, target, opened: { editor } }) => {
    if (editor === undefined)
      throw new Error("Cannot adopt as target.kind must be kubernetes: in a folder, edit the files");
    const { owner, renamed, objects, all, output } = options;
    const isAsked = all || objects.length > 0 || owner !== undefined || renamed !== undefined;
    const isDryRun = !isAsked || options.dryRun || config.policy.mode === "dry-run";
    const { signal, out } = context;
    const { namespace } = config.target;
    const registries = config.registries.map(({ name }) => name);
    const actions: OwnershipAction[] = [];
    if (owner !== undefined)
      actions.push(
        ...(await ownerActions(target, editor, { from: owner, to: config.owner, namespace }, { isDryRun, signal })),
      );
    if (renamed !== undefined) actions.push(...(await renameActions(target.standing(), editor, renamed, registries)));
    if (all || objects.length > 0 || !isAsked) {
      const tools = {
        ...{ target, editor, signal, owner: config.owner, ttlSeconds: config.dns.ttlSeconds },
        decide: (standing: Standing) => decide({ standing }),
        wait: (ms: number) => delay(ms, undefined, { signal }),
        onProgress: out.progress,
      };
      actions.push(...(await adoptActions(tools, all ? [] : objects)));
    }
    const results = await takeActions(actions, { isDryRun, signal });
    const did = (...kinds: readonly OwnershipAction["kind"][]) => results.some(({ kind }) => kinds.includes(kind));
    const notes = [
      ...(did("adopt") ? ["x2istio run, or apply, brings them in step."] : []),
      ...(did("hand over", "wait") ? ["Run this again when x2istio run, or apply, has written their names."] : []),
    ];
    return concludeActions(context, results, { output, isDryRun, notes });
  });
}
