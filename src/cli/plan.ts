import type { Config } from "../config/config.ts";
import { formatPath } from "../config/document.ts";
import { configPlaces } from "../config/load.ts";
import type { Change } from "../model/plan.ts";
import type { Reading } from "../plan/catalog/catalog.ts";
import type { Decision } from "../plan/decision.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { hasWrites, isBlindOrBraked } from "./print/exit-code.ts";
import { countPlan, countsText, planLines, registryLines } from "./print/plan.ts";
import { skippedLines } from "./print/skipped.ts";
import { stageJson } from "./print/stage.ts";
import { count } from "./print/text.ts";
import { once } from "./setup/once.ts";
import { unmatchedBy } from "./setup/unmatched.ts";

export interface PlanOptions {
  readonly output: Format;
  /** Whether changes have an exit code of their own. */
  readonly detailedExitcode: boolean;
  /** Whether each service that is skipped is named. */
  readonly verbose: boolean;
}

/**
 * Show what a pass would change. 0: shown, 1: not to be trusted, as a registry could not be read or a brake is on; with
 * `detailedExitcode` 2 instead of 0 where something would change. Holds do not count.
 */
export async function planCommand(
  context: CliContext,
  { output, detailedExitcode, verbose }: PlanOptions,
): Promise<ExitCode> {
  return once(context, async ({ config, decide, readings, readAtMs }) => {
    const decision = decide();
    const { line, style } = context.out;
    const { create, update, delete: remove } = decision.plan;
    const hasChanges = create.length + update.length + remove.length > 0;
    const ledgerWrites = decision.ledger?.writes.length ?? 0;
    const unmatched = await placedRules(context, config, decision, readings);
    if (output === "json") line(JSON.stringify({ ...planJson(decision, readings), unmatched }, null, 2));
    else {
      for (const text of registryLines(readings, decision, Date.now() - readAtMs, style)) line(text);
      if (verbose) for (const text of skippedLines(readings)) line(style("dim", text));
      for (const { place, path, message } of unmatched) line(style("yellow", `${place} ${path}: ${message}`));
      const lines = planLines(decision, style, config.policy.keepEmptyMs, false);
      if (lines.length > 0) line("");
      for (const text of lines) line(text);
      const old = [...decision.naming.services.values()].filter(
        ({ templateHost }) => templateHost !== undefined,
      ).length;
      line("");
      if (old > 0)
        line(
          style(
            "dim",
            `${old} keep a host that hosts.template would no longer give; only new services get the new one.`,
          ),
        );
      if (!hasChanges && ledgerWrites > 0) line(`Only the VIP ledger would change: ${count(ledgerWrites, "block")}.`);
      line(`${countsText(countPlan(decision))} Nothing was written.`);
    }
    if (isBlindOrBraked(readings, decision)) return 1;
    return detailedExitcode && hasWrites(decision) ? 2 : 0;
  });
}

/** Rules that no service is for, with their lines. */
async function placedRules(
  { configContext }: CliContext,
  config: Config,
  decision: Decision,
  readings: ReadonlyMap<string, Reading>,
) {
  const rules = unmatchedBy(config, decision, readings);
  if (rules.length === 0) return [];
  const place = await configPlaces(config.file, configContext);
  return rules.map(({ path, registry, message }) => ({
    place: place(path),
    path: formatPath(path),
    registry,
    message,
  }));
}

/** The plan as data: stable fields for scripts and `/api/plan`. */
export function planJson(decision: Decision, readings: ReadonlyMap<string, Reading> = new Map()): object {
  const { plan, catalog, ledger, stages } = decision;
  return {
    registries: [...catalog.authorities].map(([name, { state, why, listed }]) => ({
      name,
      state,
      services: listed,
      ...readingJson(readings.get(name)),
      ...(why === undefined ? {} : { why }),
    })),
    changes: [...plan.create, ...plan.update, ...plan.delete].map(changeJson),
    holds: plan.hold.map(({ reason, subject, service, registry, message }) => ({
      reason,
      subject,
      service,
      registry,
      message,
    })),
    stages: [...stages.values()].map(stageJson),
    brakes: plan.brakes,
    released: plan.released,
    counts: countPlan(decision),
    objects: {
      create: plan.create.length,
      update: plan.update.length,
      delete: plan.delete.length,
      unchanged: plan.unchanged,
    },
    ledgerWrites: ledger?.writes.length ?? 0,
  };
}

function changeJson(change: Change): object {
  if (change.kind === "delete")
    return { action: "delete", object: change.standing.key, service: change.standing.service, why: change.why };
  const { key, service, manifest } = change.object;
  return { action: change.kind, object: key, service, manifest };
}

function readingJson(reading: Reading | undefined): object {
  if (reading?.state !== "read") return {};
  const { skipped = {}, skippedServices = [] } = reading.snapshot;
  return { skipped, skippedServices };
}
