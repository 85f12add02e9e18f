import type { Hold } from "../../model/plan.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import type { Decision } from "../../plan/decision.ts";

/** Whether a decision writes anything. */
export function hasWrites({ plan, ledger }: Decision): boolean {
  return plan.create.length + plan.update.length + plan.delete.length + (ledger?.writes.length ?? 0) > 0;
}

/** Whether a decision is not to be trusted: a registry could not be read, or a brake holds. */
export function isBlindOrBraked(readings: ReadonlyMap<string, Reading>, { plan }: Decision): boolean {
  return plan.brakes.length > 0 || [...readings.values()].some(isUnread);
}

/** Whether somebody has to decide about what is held. */
export function isToDecide({ isLasting }: Hold): boolean {
  return isLasting !== true;
}

/** Whether a registry's list is known only in part. */
export function isPartial(reading: Reading): boolean {
  return reading.state === "read" && reading.snapshot.incomplete !== undefined;
}

/** A list that is incomplete and names nothing that could be read tells no more than none. */
function isUnread(reading: Reading): boolean {
  if (reading.state !== "read") return true;
  return isPartial(reading) && reading.snapshot.services.every(({ state }) => state === "failed");
}
