import type { ElectionFact } from "../model/cluster-facts.ts";

/** An election is renewed every 7.5 s and lasts 30 s. */
const HELD_MS = 90_000;

/** Whether an istiod holds an election of its own now. */
export function isHeld({ renewedMs }: Pick<ElectionFact, "renewedMs">, nowMs: number): boolean {
  return nowMs - renewedMs < HELD_MS;
}
