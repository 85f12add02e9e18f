import { stageShareText } from "../../migrate/moves.ts";
import type { StepPlan, StepResult } from "../../migrate/step.ts";
import type { StageRequest } from "../../model/claim.ts";
import { nameOf } from "../../plan/stages/preconditions.ts";
import { count, table } from "./text.ts";

/** What becomes of the objects of a service if its step is taken. */
export function previewLines({ move, claimant, changes, passes }: StepPlan, want: StageRequest): readonly string[] {
  const by = claimant === undefined ? "" : `, by ${nameOf(claimant)}`;
  const signs = { create: "+", update: "~", delete: "-" } as const;
  const rows = changes.map(({ object, action, what }) => [`${signs[action]} ${object.replace("/", " ")}`, what]);
  return [
    `${move.service}: ${stageShareText(move)} → ${stageShareText(want)}${by}`,
    ...table(rows),
    changes.length === 0 ? "No object changes." : `${count(changes.length, "object")} in ${count(passes, "pass")}.`,
  ];
}

/** What a step was asked with, as far as it is printed. */
export interface PrintedStep {
  readonly want: StageRequest;
  readonly dryRun: boolean;
  /** Milliseconds. */
  readonly timeout: number;
}

/** What came of a step, for people. */
export function stepLines(
  { move, refused, commit, progress, istiod }: StepResult,
  { want, dryRun, timeout }: PrintedStep,
): readonly string[] {
  if (refused.length > 0)
    return [
      `${move.service} stays ${stageShareText(move)}: ${refused.join("; ")}. Nothing was changed.`,
      ...(commit === undefined ? [] : commitLines(commit)),
    ];
  if (dryRun) return ["Nothing was written."];
  switch (progress?.state) {
    case "effective":
      return [
        `${move.service} is ${stageShareText(want)} now.`,
        istiod === undefined ? "istiod was not asked (--istiod)." : `${istiod.message}.`,
      ];
    case "refused":
    case "stepped back":
      return [`${move.service} is not ${stageShareText(want)}: ${progress.why}.`];
    default:
      return [
        `${move.service} is not ${stageShareText(want)} after ${Math.round(timeout / 1000)} s: ${progress?.why ?? ""}. The request stays in place; is x2istio run running?`,
      ];
  }
}

function commitLines(annotations: Readonly<Record<string, string>>): readonly string[] {
  const lines = Object.entries(annotations).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`);
  return ["metadata:", "  annotations:", ...lines];
}

/** What came of a step, as data with stable fields. */
export function stepJson(result: StepResult, { want, dryRun }: PrintedStep): object {
  const { move, claimant, changes, passes, refused, commit, written, progress, istiod } = result;
  return {
    service: move.service,
    claimant: claimant === undefined ? null : nameOf(claimant),
    from: { stage: move.stage, weight: move.weight },
    to: want,
    ...{ changes, passes, refused, dryRun, written },
    ...(commit === undefined ? {} : { commit }),
    effective: progress?.state === "effective",
    ...(progress === undefined || progress.state === "effective" ? {} : { why: progress.why }),
    istiod: istiod ?? null,
  };
}
