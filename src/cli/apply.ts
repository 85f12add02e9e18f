import { setTimeout as delay } from "node:timers/promises";
import { msUntilStep } from "../controller/due.ts";
import { type PassOptions, type PassResult, pass } from "../controller/pass.ts";
import { describeError } from "../errors.ts";
import type { Change, Create, Update } from "../model/plan.ts";
import type { WriteResult } from "../model/target.ts";
import type { Decision } from "../plan/decision.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { planJson } from "./plan.ts";
import { hasWrites, isBlindOrBraked, isPartial, isToDecide } from "./print/exit-code.ts";
import { countPlan, countsText, doneText, planLines, registryLines } from "./print/plan.ts";
import { count } from "./print/text.ts";
import { type Once, once } from "./setup/once.ts";

export interface ApplyOptions {
  readonly output: Format;
  /** Registries whose brake is released for this pass. */
  readonly allowDeletes: readonly string[];
  /** Whether changes have an exit code of their own. */
  readonly detailedExitcode: boolean;
}

/**
 * Make one pass. 0: done, 3: something is held that somebody has to decide about, 1: failed, blind or braked (1 before 3); with
 * `detailedExitcode` 2 instead of 0 where something changed.
 *
 * The Lease (or the folder's lock) is taken only when there is something to write, and released before the command ends.
 */
export async function applyCommand(context: CliContext, options: ApplyOptions): Promise<ExitCode> {
  const { allowDeletes } = options;
  return once(context, async (opened) => {
    const { config, decide } = opened;
    const unknown = allowDeletes.find((name) => !config.registries.some((registry) => registry.name === name));
    if (unknown !== undefined)
      throw new Error(
        `Cannot release the brake of "${unknown}" as it must be a configured registry: ${config.registries.map(({ name }) => name).join(", ")}`,
      );
    const allowed = new Set(allowDeletes);
    let first = decide({ allowDeletes: allowed });
    if (!hasWrites(first) && (await untilStep(first, opened.target, context.signal)))
      first = decide({ allowDeletes: allowed });
    const isDryRun = config.policy.mode === "dry-run";
    if (isDryRun || !hasWrites(first)) {
      if (!isDryRun) await reportHolds(context, opened, first);
      return conclude(context, opened, { decision: first, report: { results: [] }, ledgerWrites: 0 }, options);
    }
    const right = await opened.opened.acquire(context.signal);
    if (right.holder !== undefined) return otherLeads(context, opened, right.holder, allowDeletes);
    try {
      const result = await passes({
        target: opened.target,
        decide: () => decide({ allowDeletes: allowed }),
        isDryRun: false,
        signal: context.signal,
        mayWrite: () => right.mayWrite() && !context.signal.aborted,
        onProgress: (done, total) => context.out.progress(`writing ${done} of ${total}`),
      });
      context.out.progress("");
      return conclude(context, opened, result, options);
    } finally {
      await right.release();
    }
  });
}

/** Events are no mesh objects: they need no Lease, and are written only where they are absent. */
async function reportHolds(context: CliContext, { target }: Once, { plan }: Decision): Promise<void> {
  await target.report(plan.hold, { signal: context.signal, mayWrite: () => true });
}

async function otherLeads(
  context: CliContext,
  { opened }: Once,
  holder: string,
  allowDeletes: readonly string[],
): Promise<ExitCode> {
  if (allowDeletes.length === 0)
    throw new Error(
      `Cannot apply as ${holder} is running on this target: it makes the same changes by itself, or stop it first`,
    );
  await opened.markAllowDeletes(allowDeletes);
  context.out.line(
    `${holder} is the leader and was notified: its next pass applies --allow-deletes ${allowDeletes.join(",")}.`,
  );
  return 0;
}

/** Wait until a step may be taken that waits for clients to know where it leads; false if there is none. */
async function untilStep({ stages }: Decision, target: PassOptions["target"], signal: AbortSignal): Promise<boolean> {
  const waitMs = msUntilStep(stages.values(), target.nowMs());
  if (waitMs === Number.POSITIVE_INFINITY) return false;
  await delay(waitMs, undefined, { signal });
  return true;
}

const MOST_PASSES = 3;

/** One step of each service that is moved: what is announced with the first pass is led to with the next. */
async function passes(options: PassOptions): Promise<PassResult> {
  let result = await passAgain(options);
  for (let round = 1; round < MOST_PASSES; round++) {
    if (!(await untilStep(result.decision, options.target, options.signal))) return result;
    result = joined(result, await passAgain(options));
  }
  return result;
}

/** Both passes as one: what stood before the first, and what stands after the second. */
function joined(first: PassResult, second: PassResult): PassResult {
  const { create, update } = first.decision.plan;
  const later = new Map(second.decision.plan.update.map((change) => [keyOf(change), change]));
  const seen = new Set([...create, ...update].map(keyOf));
  const withLater = <One extends Create | Update>(change: One): One => ({
    ...change,
    object: later.get(keyOf(change))?.object ?? change.object,
  });
  const plan = {
    ...second.decision.plan,
    create: create.map(withLater),
    update: [...update.map(withLater), ...[...later.values()].filter((change) => !seen.has(keyOf(change)))],
    delete: first.decision.plan.delete,
  };
  const outcomes = new Map([...first.report.results, ...second.report.results].map((one) => [keyOf(one.change), one]));
  return { ...second, decision: { ...second.decision, plan }, report: { results: [...outcomes.values()] } };
}

/**
 * Pass again where something moved between our read and our write: the second look holds what is someone else's by now.
 * The result tells the first pass's changes, what became of each in the end, and the last pass's holds.
 */
async function passAgain(options: PassOptions): Promise<PassResult> {
  const first = await pass(options);
  let last = first;
  const outcomes = new Map(first.report.results.map((result) => [keyOf(result.change), result]));
  for (let round = 1; round < MOST_PASSES && last.report.results.some(hasMoved); round++) {
    last = await pass(options);
    for (const [key, result] of outcomes) if (hasMoved(result)) outcomes.delete(key);
    for (const result of last.report.results) outcomes.set(keyOf(result.change), result);
  }
  const { hold, brakes } = last.decision.plan;
  const plan = { ...first.decision.plan, hold, brakes };
  return { ...first, decision: { ...first.decision, plan }, report: { results: [...outcomes.values()] } };
}

function hasMoved({ outcome }: WriteResult): boolean {
  return outcome === "conflict" || outcome === "foreign";
}

function keyOf(change: Change): string {
  return change.kind === "delete" ? change.standing.key : change.object.key;
}

function conclude(
  context: CliContext,
  opened: Once,
  result: PassResult,
  { output, detailedExitcode }: ApplyOptions,
): ExitCode {
  const { decision, report } = result;
  const failed = report.results.filter(({ outcome }) => outcome !== "written");
  const written = report.results.length - failed.length;
  if (output === "json")
    context.out.line(
      JSON.stringify({ ...planJson(decision), written, outcomes: report.results.map(outcomeJson) }, null, 2),
    );
  else for (const text of resultLines(context, opened, result, failed)) context.out.line(text);
  if (failed.length > 0 || isBlindOrBraked(opened.readings, decision)) return 1;
  // Of a list that is known only in part the rest is held, even if nothing of it stands yet.
  if ([...opened.readings.values()].some(isPartial) || decision.plan.hold.some(isToDecide)) return 3;
  return detailedExitcode && hasWrites(decision) ? 2 : 0;
}

function outcomeJson({ change, outcome, error }: WriteResult): object {
  return {
    action: change.kind,
    object: keyOf(change),
    outcome,
    ...(error === undefined ? {} : { error: describeError(error) }),
  };
}

function resultLines(
  context: CliContext,
  { config, readings, readAtMs }: Once,
  result: PassResult,
  failed: readonly WriteResult[],
): readonly string[] {
  const { decision, report } = result;
  const { style } = context.out;
  const isDryRun = config.policy.mode === "dry-run";
  const changes = planLines(decision, style, config.policy.keepEmptyMs, !isDryRun && failed.length === 0);
  const isStopped = context.signal.aborted;
  const tried = failed.filter(({ outcome }) => !(isStopped && outcome === "skipped"));
  const failures = tried.map(({ change, outcome, error }) =>
    style("red", `x ${keyOf(change)}    ${error === undefined ? outcome : describeError(error)}`),
  );
  const not = failed.length > 0 ? `, ${failed.length} not` : "";
  const counts = countPlan(decision);
  return [
    ...registryLines(readings, decision, Date.now() - readAtMs, style),
    "",
    ...changes,
    ...(changes.length > 0 ? [""] : []),
    ...failures,
    ...(failures.length > 0 ? [""] : []),
    isDryRun
      ? `${countsText(counts)} Nothing was written: policy.mode is dry-run.`
      : `${isStopped ? `Stopped early: ${countsText(counts)}` : doneText(counts)} ${count(report.results.length - failed.length, "object")} written${not}.`,
  ];
}
