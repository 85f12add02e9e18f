import { canonical } from "../../istio/addresses.ts";
import {
  CLAIMANT_ANNOTATION,
  type ClaimantRef,
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
  STAGES,
  STEPPED_BACK_ANNOTATION,
  type Stage,
  type StageDecision,
  type StageRequest,
} from "../../model/claim.ts";
import type { StandingObject } from "../../model/standing.ts";

/** Where a service stands, as its entry says. */
export interface StandingStage extends StageRequest {
  readonly claimant: ClaimantRef | undefined;
  readonly steppedBackFrom: string | undefined;
}

/** As nearly all services are. */
export const AT_OUTSIDE: StandingStage = {
  stage: "outside",
  weight: 0,
  claimant: undefined,
  steppedBackFrom: undefined,
};

type Entry = Pick<StandingObject, "manifest">;

/** Where a service stands. An entry that does not say it in full is outside: calls then go where they always went. */
export function standingStage({ manifest }: Entry): StandingStage {
  const annotations = manifest.metadata.annotations ?? {};
  const steppedBackFrom = annotations[STEPPED_BACK_ANNOTATION];
  if (annotations[EFFECTIVE_STAGE_ANNOTATION] === undefined && steppedBackFrom === undefined) return AT_OUTSIDE;
  const stage = STAGES.find((one) => one === annotations[EFFECTIVE_STAGE_ANNOTATION]) ?? "outside";
  const [, namespace, name] = /^([^/]+)\/([^/]+)$/.exec(annotations[CLAIMANT_ANNOTATION] ?? "") ?? [];
  const weight = stage === "split" ? weightOf(annotations[EFFECTIVE_WEIGHT_ANNOTATION]) : 100;
  if (stage === "outside" || namespace === undefined || name === undefined || weight === undefined)
    return { ...AT_OUTSIDE, steppedBackFrom };
  return { stage, weight, claimant: { namespace, name }, steppedBackFrom };
}

/** Whether all calls of a service are led inside by all its names: what its registry says of it is no loss any more. */
export function isInside(entry: Entry): boolean {
  return isPast(standingStage(entry).stage);
}

/** Past `split`. */
export function isPast(stage: Stage): boolean {
  return stage === "inside" || stage === "retired";
}

/** The annotations that say where a service stands; none at `outside`. */
export function stageAnnotations(decision: StageDecision | undefined): Readonly<Record<string, string>> {
  if (decision === undefined) return {};
  const { stage, weight, claimant, addresses, steppedBackFrom } = decision;
  const steppedBack = steppedBackFrom === undefined ? {} : { [STEPPED_BACK_ANNOTATION]: steppedBackFrom };
  if (stage === "outside" || claimant === undefined) return steppedBack;
  return {
    ...steppedBack,
    [EFFECTIVE_STAGE_ANNOTATION]: stage,
    [CLAIMANT_ANNOTATION]: `${claimant.namespace}/${claimant.name}`,
    ...(stage === "split" ? { [EFFECTIVE_WEIGHT_ANNOTATION]: String(weight) } : {}),
    ...(addresses.length === 0 ? {} : { [INSIDE_ADDRESSES_ANNOTATION]: addresses.join(",") }),
  };
}

/** The addresses that legacy names of an entry are answered with instead of its VIP; none unless it is inside. */
export function insideAddresses(entry: Entry): readonly string[] {
  const text = entry.manifest.metadata.annotations?.[INSIDE_ADDRESSES_ANNOTATION];
  return text === undefined || !isInside(entry) ? [] : text.split(",").flatMap((one) => canonical(one) ?? []);
}

function weightOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,3}$/.test(text) && Number(text) <= 100 ? Number(text) : undefined;
}
