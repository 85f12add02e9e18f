import { type Config, loadConfig } from "../config.ts";
import { createCompute } from "../controller/compute.ts";
import type { StandingObject } from "../model/standing.ts";
import type { Target, WriteOptions, WriteResult } from "../model/target.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { concludeSteps, type HandResult, type HandStep } from "./hand-steps.ts";
import { type OpenTarget, openTarget } from "./target.ts";

export interface UninstallOptions {
  readonly dryRun: boolean;
  readonly output: Format;
}

/**
 * Remove every object of this owner, what points to a service before its entry, and let its VIPs rest. 0: done or listed, 1: failed.
 *
 * Registries are not read. What is not ours stays, and so does what was released or taken over, and the ledger, which others share.
 *
 * @throws When someone is at work on the target.
 */
export async function uninstallCommand(context: CliContext, options: UninstallOptions): Promise<ExitCode> {
  const config = await loadConfig(context.configFile, context.configContext);
  const opened = await openTarget(config, context);
  try {
    await opened.target.start({ watch: false, signal: context.signal });
    const isDryRun = options.dryRun || config.policy.mode === "dry-run";
    const objects = [...opened.target.standing().objects.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    const ours = objects.filter((object) => whyLeft(object) === undefined);
    const left = objects.flatMap(leftStep);
    const results = isDryRun ? ours.map(deleteStep) : await removeAll(context, config, opened, ours);
    const notes = ["The VIP ledger stays: its addresses rest, and other owners may share it."];
    return concludeSteps(context, [...results, ...left], { output: options.output, isDryRun, notes });
  } finally {
    await opened.close();
  }
}

/** Why an object that carries our labels is not removed. */
function whyLeft({ service, yielded }: StandingObject): string | undefined {
  return service === undefined
    ? "stays: it has no readable annotation x2istio.io/service"
    : yielded && `stays: ${yielded}`;
}

function leftStep(object: StandingObject): readonly HandStep[] {
  const why = whyLeft(object);
  return why === undefined ? [] : [{ act: "leave", key: object.key, service: object.service, why }];
}

function deleteStep({ key, service = "" }: StandingObject): HandStep {
  return { act: "delete", key, service, why: `of ${service}` };
}

async function removeAll(
  context: CliContext,
  config: Config,
  { target, claim, hands }: OpenTarget,
  ours: readonly StandingObject[],
): Promise<readonly HandResult[]> {
  if (ours.length === 0) return [];
  const claimed = await claim(context.signal);
  if (claimed.holder !== undefined)
    throw new Error(`Cannot uninstall as ${claimed.holder} is at work on this target: stop it first`);
  try {
    const options = {
      signal: context.signal,
      mayWrite: () => claimed.mayWrite() && !context.signal.aborted,
      onProgress: (done: number, total: number) => context.out.progress(`deleting ${done} of ${total}`),
    };
    const changes = ours.map((standing) => ({ kind: "delete" as const, standing, why: "uninstalled" }));
    const { results } = await target.write(changes, options);
    context.out.progress("");
    await restVips(config, target, options);
    return results.flatMap(resultOf);
  } finally {
    await claimed.release();
    await hands?.removeLease(config.owner);
  }
}

function resultOf({ change, outcome, error }: WriteResult): readonly HandResult[] {
  if (change.kind !== "delete") return [];
  const step = deleteStep(change.standing);
  if (outcome === "written" || outcome === "conflict") return [{ ...step, outcome }];
  return [{ ...step, outcome: "failed", error: error ?? new Error(`Cannot delete ${step.key}: ${outcome}`) }];
}

/** As if no registry had ever answered, nothing asks for an address any more. */
async function restVips(config: Config, target: Target, options: WriteOptions): Promise<void> {
  const { ledger } = createCompute(config)({
    readings: new Map(config.registries.map(({ name }) => [name, { state: "unread" }])),
    standing: target.standing(),
    nowMs: target.nowMs(),
    allowDeletes: new Set(),
    endpointPeaks: new Map(),
  });
  if (ledger !== undefined && ledger.writes.length > 0) await target.writeLedger(ledger.writes, options);
}
