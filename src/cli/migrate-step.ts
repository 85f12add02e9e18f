import { describeError } from "../errors.ts";
import type { Hands } from "../kube/hands.ts";
import {
  type Claim,
  type ClaimantRef,
  REQUEST_ANNOTATION,
  STAGE_ANNOTATION,
  type StageRequest,
  WEIGHT_ANNOTATION,
} from "../model/claim.ts";
import { objectKey } from "../model/objects.ts";
import { requestText } from "../plan/stages.ts";
import type { CliContext, ExitCode, Format } from "./context.ts";
import { askIstiod, type IstiodState } from "./istiod-state.ts";
import { type Move, moveNamed, refText, stageText, unclaimed } from "./moves.ts";
import { type Once, once } from "./once.ts";
import { type ObjectChange, previewClaim } from "./stage-preview.ts";
import { type Progress, versionsOf, watchStep } from "./stage-watch.ts";
import { count, table } from "./text.ts";

export interface StepOptions {
  /** A service, host, legacy name, alias or VIP, or the claimant. */
  readonly name: string;
  readonly want: StageRequest;
  readonly dryRun: boolean;
  readonly output: Format;
  /** How long to wait until the step is effective. */
  readonly timeout: number;
  /** Address of istiod's debug interface. */
  readonly istiod?: string;
}

/** Who owns the annotations that a step sets. */
export const MIGRATE_MANAGER = "x2istio-migrate";

/** What came of a step, from the first look to the last. */
interface StepResult {
  readonly move: Move;
  readonly claimant: ClaimantRef | undefined;
  readonly changes: readonly ObjectChange[];
  readonly passes: number;
  /** Sentences; nothing was written. */
  readonly refused: readonly string[];
  /** Annotations to commit where they are kept, as something else owns them. */
  readonly commit: Readonly<Record<string, string>> | undefined;
  readonly written: boolean;
  readonly progress: Progress | undefined;
  readonly istiod: IstiodState | undefined;
}

/**
 * Take a step of one service's move: show what becomes of its objects, ask for the step on the Service that replaces it, and wait
 * until calls are led so. 0: it is so, or would be; 1: it was refused, nothing changed, or it was not effective in time.
 */
export async function stepCommand(context: CliContext, options: StepOptions): Promise<ExitCode> {
  return once(
    context,
    async (opened) => {
      const result = await takeStep(context, opened, options);
      context.out.progress("");
      const { line } = context.out;
      if (options.output === "json") line(JSON.stringify(stepJson(result, options), null, 2));
      else for (const text of endLines(result, options)) line(text);
      const isDone = result.progress?.state === "effective" && result.istiod?.state !== "behind";
      return result.refused.length === 0 && (options.dryRun || isDone) ? 0 : 1;
    },
    { watch: true },
  );
}

async function takeStep(context: CliContext, opened: Once, options: StepOptions): Promise<StepResult> {
  const { config, compute, opened: target } = opened;
  const { want, dryRun, output } = options;
  const move = moveNamed(options.name, compute(), config.target.clusterDomain);
  const { service, claim, blockers } = move;
  const nothing = {
    ...{ move, claimant: claim, changes: [], passes: 0, commit: undefined },
    ...{ written: false, progress: undefined, istiod: undefined },
  };
  const messages = blockers.map(({ message }) => message);
  if (claim === undefined) return { ...nothing, refused: messages.length === 0 ? [unclaimed(move)] : messages };
  const request = new Date().toISOString();
  const wanted = { ...claim, ...want, request };
  const { refused, changes, passes } = previewClaim(opened, service, wanted);
  if (refused.length > 0) return { ...nothing, refused };
  const asked = { ...nothing, claimant: claim, changes, passes, refused: [] };
  if (output === "text") for (const text of previewLines(asked, want)) context.out.line(text);
  if (dryRun) return asked;
  if (claim.source === "configuration") return { ...asked, refused: [configurationText(claim, want, config.file)] };
  if (target.hands === undefined)
    throw new Error("Cannot move a service as target.kind must be kubernetes: a folder has no Services");
  const annotations = annotationsFor(want, request);
  const refusal = await declare(target.hands, claim, annotations);
  if (refusal !== undefined) return { ...asked, refused: [refusal], commit: annotations };
  const progress = await watchStep(
    opened,
    { service, want, request: requestText(wanted) },
    { signal: context.signal, timeoutMs: options.timeout, onProgress: context.out.progress },
  );
  const written = { ...asked, written: true, progress };
  if (progress.state !== "effective" || options.istiod === undefined) return written;
  context.out.progress("asking istiod");
  return { ...written, istiod: await askIstiod(options.istiod, versionsOf(opened, service), context.signal) };
}

/** What a step sets on the Service. */
export function annotationsFor({ stage, weight }: StageRequest, request: string): Readonly<Record<string, string>> {
  return {
    [STAGE_ANNOTATION]: stage,
    ...(stage === "split" ? { [WEIGHT_ANNOTATION]: String(weight) } : {}),
    [REQUEST_ANNOTATION]: request,
  };
}

/** Set the annotations; why it could not be done, in a sentence without a full stop. */
async function declare(
  hands: Hands,
  claim: ClaimantRef,
  annotations: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const key = objectKey("Service", claim.namespace, claim.name);
  const { outcome, error } = await hands.declare(key, annotations, MIGRATE_MANAGER);
  if (outcome === "written") return undefined;
  if (outcome === "failed") throw error;
  return `${ownersOf(describeError(error))} owns the annotations of Service ${refText(claim)}: commit these lines where they are kept`;
}

/** Field managers that an answer to server-side apply names. */
export function ownersOf(message: string): string {
  const owners = new Set([...message.matchAll(/conflicts? with "([^"]+)"/g)].map(([, owner = ""]) => owner));
  return owners.size === 0 ? "someone else" : [...owners].sort().join(" and ");
}

function configurationText({ service, namespace, name }: Claim, { stage, weight }: StageRequest, file: string): string {
  const line = `{service: ${service}, by: ${namespace}/${name}, stage: ${stage}${stage === "split" ? `, weight: ${weight}` : ""}}`;
  return `the claim stands in the configuration: write ${line} into migration.claims of ${file}`;
}

function previewLines({ move, claimant, changes, passes }: StepResult, want: StageRequest): readonly string[] {
  const by = claimant === undefined ? "" : `, by ${refText(claimant)}`;
  const signs = { create: "+", update: "~", delete: "-" } as const;
  const rows = changes.map(({ object, action, what }) => [`${signs[action]} ${object.replace("/", " ")}`, what]);
  return [
    `${move.service}: ${stageText(move)} → ${stageText(want)}${by}`,
    ...table(rows),
    changes.length === 0 ? "No object changes." : `${count(changes.length, "object")} in ${count(passes, "pass")}.`,
  ];
}

function endLines({ move, refused, commit, progress, istiod }: StepResult, { want, dryRun, timeout }: StepOptions) {
  if (refused.length > 0)
    return [
      `${move.service} stays ${stageText(move)}: ${refused.join("; ")}. Nothing was changed.`,
      ...(commit === undefined ? [] : commitLines(commit)),
    ];
  if (dryRun) return ["Nothing was written."];
  switch (progress?.state) {
    case "effective":
      return [
        `${move.service} is ${stageText(want)} now.`,
        istiod === undefined ? "istiod was not asked (--istiod)." : `${istiod.message}.`,
      ];
    case "refused":
    case "stepped back":
      return [`${move.service} is not ${stageText(want)}: ${progress.why}.`];
    default:
      return [
        `${move.service} is not ${stageText(want)} after ${Math.round(timeout / 1000)} s: ${progress?.why ?? ""}. It stays asked for; is x2istio run at work?`,
      ];
  }
}

function commitLines(annotations: Readonly<Record<string, string>>): readonly string[] {
  const lines = Object.entries(annotations).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`);
  return ["metadata:", "  annotations:", ...lines];
}

function stepJson(result: StepResult, { want, dryRun }: StepOptions): object {
  const { move, claimant, changes, passes, refused, commit, written, progress, istiod } = result;
  return {
    service: move.service,
    claimant: claimant === undefined ? null : refText(claimant),
    from: { stage: move.stage, weight: move.weight },
    to: want,
    ...{ changes, passes, refused, dryRun, written },
    ...(commit === undefined ? {} : { commit }),
    effective: progress?.state === "effective",
    ...(progress === undefined || progress.state === "effective" ? {} : { why: progress.why }),
    istiod: istiod ?? null,
  };
}
