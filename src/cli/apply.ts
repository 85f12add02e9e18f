import type { Computation } from "../controller/compute.ts";
import { type PassResult, pass } from "../controller/pass.ts";
import { describeError } from "../errors.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { type Once, once } from "./once.ts";
import { planJson } from "./plan.ts";
import { countPlan, countsText, planLines, registryLines } from "./render.ts";
import { count } from "./text.ts";

export interface ApplyOptions {
  readonly output: Format;
  /** Registries whose brake is released for this pass. */
  readonly allowDeletes: readonly string[];
}

/**
 * Make one pass. 0: nothing to do, 2: changed, 3: something is held, 1: failed (1 before 3 before 2).
 *
 * The Lease (or the folder's lock) is taken only when there is something to write, and released before the command ends.
 */
export async function applyCommand(context: CliContext, { output, allowDeletes }: ApplyOptions): Promise<ExitCode> {
  return once(context, async (opened) => {
    const { config, compute } = opened;
    const unknown = allowDeletes.find((name) => !config.registries.some((registry) => registry.name === name));
    if (unknown !== undefined)
      throw new Error(
        `Cannot release the brake of "${unknown}" as it must be a configured registry: ${config.registries.map(({ name }) => name).join(", ")}`,
      );
    const allowed = new Set(allowDeletes);
    const first = compute(allowed);
    const isDryRun = config.policy.mode === "dry-run";
    if (isDryRun || !hasWrites(first)) {
      if (!isDryRun) await reportHolds(context, opened, first);
      return conclude(context, opened, { computation: first, report: { results: [] }, ledgerWrites: 0 }, output);
    }
    const claim = await opened.opened.claim(context.signal);
    if (claim.holder !== undefined) return otherLeads(context, opened, claim.holder, allowDeletes);
    try {
      const result = await pass({
        target: opened.target,
        compute: () => compute(allowed),
        isDryRun: false,
        signal: context.signal,
        mayWrite: () => claim.mayWrite() && !context.signal.aborted,
        onProgress: (done, total) => context.out.progress(`writing ${done} of ${total}`),
      });
      context.out.progress("");
      return conclude(context, opened, result, output);
    } finally {
      await claim.release();
    }
  });
}

function hasWrites({ plan, ledger }: Computation): boolean {
  return plan.create.length + plan.update.length + plan.delete.length + (ledger?.writes.length ?? 0) > 0;
}

/** Events are no mesh objects: they need no Lease, and are written only where they are absent. */
async function reportHolds(context: CliContext, { target }: Once, { plan }: Computation): Promise<void> {
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
      `Cannot apply as ${holder} is at work on this target: it writes the same by itself, or stop it first`,
    );
  await opened.markAllowDeletes(allowDeletes);
  context.out.line(`${holder} leads and was told: its next pass obeys --allow-deletes ${allowDeletes.join(",")}.`);
  return 0;
}

function conclude(context: CliContext, opened: Once, result: PassResult, output: Format): ExitCode {
  const { computation, report } = result;
  const failed = report.results.filter(({ outcome }) => outcome !== "written");
  const written = report.results.length - failed.length;
  const isUnread = [...opened.readings.values()].some(({ state }) => state !== "read");
  const { line, style } = context.out;
  if (output === "json") {
    const outcomes = report.results.map(({ change, outcome, error }) => ({
      action: change.kind,
      object: change.kind === "delete" ? change.standing.key : change.object.key,
      outcome,
      ...(error === undefined ? {} : { error: describeError(error) }),
    }));
    line(JSON.stringify({ ...planJson(computation), written, outcomes }, null, 2));
  } else {
    for (const text of registryLines(opened.readings, computation, Date.now() - opened.readAtMs, style)) line(text);
    const lines = planLines(computation, style, opened.config.policy.keepEmptyMs);
    if (lines.length > 0) line("");
    for (const text of lines) line(text);
    line("");
    for (const { change, outcome, error } of failed) {
      const key = change.kind === "delete" ? change.standing.key : change.object.key;
      line(style("red", `x ${key}    ${error === undefined ? outcome : describeError(error)}`));
    }
    if (failed.length > 0) line("");
    const verdict =
      opened.config.policy.mode === "dry-run"
        ? "Nothing was written: policy.mode is dry-run."
        : `${count(written, "object")} written${failed.length > 0 ? `, ${failed.length} not` : ""}.`;
    line(`${countsText(countPlan(computation))} ${verdict}`);
  }
  if (failed.length > 0 || isUnread) return 1;
  if (computation.plan.hold.length > 0) return 3;
  return written > 0 || result.ledgerWrites > 0 ? 2 : 0;
}
