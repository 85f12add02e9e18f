import type { Claim, StageDecision } from "../../model/claim.ts";
import { nameOf } from "../../plan/stages/preconditions.ts";
import { stageText } from "../../plan/stages/stage-text.ts";
import type { StandingStage } from "../../plan/stages/standing-stage.ts";

/** Where a service is, who claims it, and what is in the way: `split 10, led to shop/orders-v2`. */
export function stageLine(decision: StageDecision | undefined, at: StandingStage): string {
  const led = at.claimant === undefined ? "" : `, led to ${nameOf(at.claimant)}`;
  const where = `${stageText(at)}${led}`;
  if (decision === undefined) return where;
  const { claim, refusedTo, towards, blockers, settlesAtMs } = decision;
  const claims = claim === undefined || isLed(claim, at) ? "" : `; ${nameOf(claim)} claims it`;
  const why = blockers.map(({ message }) => message).join("; ");
  if (refusedTo !== undefined) return `${where}${claims}, ${stageText(refusedTo)} refused: ${why}`;
  if (stageText(decision) !== stageText(at)) return `${where}${claims}; the next pass makes it ${stageText(decision)}`;
  const settling = settlesAtMs === undefined ? "" : ", once all clients know where that leads";
  if (towards !== undefined) return `${where}${claims}, on its way to ${stageText(towards)}${settling}`;
  return why === "" ? `${where}${claims}` : `${where}${claims}; before a next step: ${why}`;
}

function isLed(claim: Claim, { claimant }: StandingStage): boolean {
  return claimant?.namespace === claim.namespace && claimant.name === claim.name;
}

/** A decision as data: stable fields for scripts. */
export function stageJson(decision: StageDecision): object {
  const { service, stage, weight, claimant, towards, refusedTo, blockers, addresses } = decision;
  return { service, stage, weight, claimant, towards, refusedTo, blockers, addresses };
}
