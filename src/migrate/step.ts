import { describeError } from "../errors.ts";
import type { ObjectEditor } from "../kube/write/object-editor.ts";
import {
  type Claim,
  type ClaimantRef,
  REQUEST_ANNOTATION,
  STAGE_ANNOTATION,
  type StageRequest,
  WEIGHT_ANNOTATION,
} from "../model/claim.ts";
import { objectKey } from "../model/objects.ts";
import type { Standing } from "../model/standing.ts";
import type { Target } from "../model/target.ts";
import { nameOf } from "../plan/stages/preconditions.ts";
import { requestText } from "../plan/stages/stage-text.ts";
import { askIstiod, type IstiodState } from "./istiod.ts";
import { type Move, moveNamed, unclaimed } from "./moves.ts";
import { type DecideFor, type ObjectChange, previewClaim } from "./preview.ts";
import { type Progress, versionsOf, watchStep } from "./watch.ts";

/** A step as an operator asks for it. */
export interface Step {
  /** A service, host, legacy name, alias or VIP, or the claimant. */
  readonly name: string;
  readonly want: StageRequest;
  /** Tells this request from earlier ones: the time. */
  readonly request: string;
  readonly clusterDomain: string;
}

/** What a step would lead to. Nothing was written. */
export interface StepPlan {
  readonly move: Move;
  /** Without one nothing can be asked for, and `refused` says so. */
  readonly claimant: Claim | undefined;
  readonly changes: readonly ObjectChange[];
  readonly passes: number;
  /** Sentences without a full stop: why the step is not to be taken. */
  readonly refused: readonly string[];
}

/** What came of a step. */
export interface StepResult extends StepPlan {
  /** Annotations to commit where they are kept, as something else owns them. */
  readonly commit?: Readonly<Record<string, string>>;
  readonly written: boolean;
  readonly progress?: Progress;
  readonly istiod?: IstiodState;
}

/** What a step is taken with. */
export interface StepTools {
  readonly target: Pick<Target, "standing" | "version" | "waitForChange">;
  readonly decide: DecideFor;
  /** `undefined` where the target is no cluster. */
  readonly editor: ObjectEditor | undefined;
  /** Path of the configuration, for messages. */
  readonly configFile: string;
  /** Address of istiod's debug interface. */
  readonly istiod: string | undefined;
  /** How long to wait until the step is effective. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** Who owns the annotations that a step sets. */
const MIGRATE_MANAGER = "x2istio-migrate";

/**
 * Find the service that is meant, and what a step of its move would lead to.
 *
 * @throws When no single service is meant.
 */
export function planStep(standing: Standing, decide: DecideFor, step: Step): StepPlan {
  const move = moveNamed(step.name, decide(standing), step.clusterDomain);
  const { service, claim, blockers } = move;
  const none = { move, claimant: claim, changes: [], passes: 0 };
  const messages = blockers.map(({ message }) => message);
  if (claim === undefined) return { ...none, refused: messages.length === 0 ? [unclaimed(move)] : messages };
  const { refused, changes, passes } = previewClaim(standing, decide, service, wantedClaim(claim, step));
  return refused.length > 0 ? { ...none, refused } : { move, claimant: claim, changes, passes, refused: [] };
}

function wantedClaim(claim: Claim, { want, request }: Step): Claim {
  return { ...claim, ...want, request };
}

/**
 * Ask for a planned step on the Service that replaces the service, and wait until calls are led so. A plan that is refused is not
 * taken.
 *
 * @throws When the target is no cluster, or the Service cannot be written.
 */
export async function takeStep(plan: StepPlan, step: Step, tools: StepTools): Promise<StepResult> {
  const { claimant, refused, move } = plan;
  if (claimant === undefined || refused.length > 0) return { ...plan, written: false };
  const { want, request } = step;
  if (claimant.source === "configuration")
    return { ...plan, written: false, refused: [inConfiguration(claimant, want, tools.configFile)] };
  if (tools.editor === undefined)
    throw new Error("Cannot move a service as target.kind must be kubernetes: a folder has no Services");
  const annotations = annotationsFor(want, request);
  const refusal = await declare(tools.editor, claimant, annotations);
  if (refusal !== undefined) return { ...plan, written: false, refused: [refusal], commit: annotations };
  const { service } = move;
  const asked = { service, want, request: requestText(wantedClaim(claimant, step)) };
  const progress = await watchStep(tools, asked);
  const written = { ...plan, written: true, progress };
  if (progress.state !== "effective" || tools.istiod === undefined) return written;
  tools.onProgress("asking istiod");
  const versions = versionsOf(tools.target.standing(), service);
  return { ...written, istiod: await askIstiod(tools.istiod, versions, tools.signal) };
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
  editor: ObjectEditor,
  claim: ClaimantRef,
  annotations: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const key = objectKey("Service", claim.namespace, claim.name);
  const { outcome, error } = await editor.declare(key, annotations, MIGRATE_MANAGER);
  if (outcome === "written") return undefined;
  if (outcome === "failed") throw error;
  return `${ownersOf(describeError(error))} owns the annotations of Service ${nameOf(claim)}: commit these lines where they are kept`;
}

/** Field managers that an answer to server-side apply names. */
export function ownersOf(message: string): string {
  const owners = new Set([...message.matchAll(/conflicts? with "([^"]+)"/g)].map(([, owner = ""]) => owner));
  return owners.size === 0 ? "someone else" : [...owners].sort().join(" and ");
}

function inConfiguration(claim: Claim, { stage, weight }: StageRequest, file: string): string {
  const line = `{service: ${claim.service}, by: ${nameOf(claim)}, stage: ${stage}${stage === "split" ? `, weight: ${weight}` : ""}}`;
  return `the claim is in the configuration: write ${line} into migration.claims of ${file}`;
}
