import { type Claim, type ClaimantRef, STAGES, type StageRequest } from "../../model/claim.ts";
import { isPast } from "./standing-stage.ts";

/** Where a service is, and who takes its calls inside. */
export type Place = StageRequest & { readonly claimant: ClaimantRef | undefined };

/** Where every service begins. */
export const OUTSIDE: StageRequest = { stage: "outside", weight: 0 };

/** One step from where it is: calls are led by weight first, then by aliases and names; never both at once. */
export function nextPlace(at: Place, { stage, weight }: StageRequest, claim: Claim | undefined): Place {
  const claimant = claim === undefined ? undefined : { namespace: claim.namespace, name: claim.name };
  const isOther = at.claimant !== undefined && claimant !== undefined && !isSame(at.claimant, claimant);
  if (isPast(at.stage)) {
    if (isPast(stage) && !isOther) return { stage, weight, claimant: at.claimant };
    return { stage: "split", weight: 100, claimant: at.claimant };
  }
  if (stage === "outside" || claimant === undefined) return { ...OUTSIDE, claimant: undefined };
  if (stage === "split") return { stage, weight, claimant };
  const isReady = at.stage === "split" && at.weight === 100 && !isOther;
  return isReady ? { stage: "inside", weight: 100, claimant } : { stage: "split", weight: 100, claimant };
}

/** Whether more calls, or more names, are led inside, or to another Service. */
export function isForward(at: Place, next: Place): boolean {
  const isNew = next.claimant !== undefined && at.claimant !== undefined && !isSame(at.claimant, next.claimant);
  return isNew || next.weight > at.weight || STAGES.indexOf(next.stage) > STAGES.indexOf(at.stage);
}

/** Whether weights lead calls to something else, or in other shares. */
export function leadsElsewhere(at: Place, next: Place): boolean {
  return at.weight !== next.weight || (at.weight > 0 && !isSame(at.claimant, next.claimant));
}

/** Whether both are the same place. */
export function isSamePlace(a: Place, b: Place): boolean {
  return a.stage === b.stage && a.weight === b.weight && (a.claimant === b.claimant || isSame(a.claimant, b.claimant));
}

/** Whether both are the same Service. */
export function isSame(a: ClaimantRef | undefined, b: ClaimantRef | undefined): boolean {
  return a !== undefined && b !== undefined && a.namespace === b.namespace && a.name === b.name;
}
