import type { Claim, StageRequest } from "../../model/claim.ts";
import { nameOf } from "./preconditions.ts";

/** `split 10`, `inside` */
export function stageText({ stage, weight }: StageRequest): string {
  return stage === "split" ? `split ${weight}` : stage;
}

/** What tells one request of a claim from another. */
export function requestText(claim: Claim): string {
  return `${stageText(claim)} ${nameOf(claim)} ${claim.request}`.trim();
}
