import { type Move, unclaimed } from "./moves.ts";

/** One line of the order in which services are best moved. */
export interface OrderedMove {
  readonly move: Move;
  readonly state: "moving" | "ready" | "blocked" | "unclaimed" | "done";
  /** Command that goes on, or why there is none. */
  readonly next: string;
}

const RANK: Readonly<Record<OrderedMove["state"], number>> = { moving: 0, ready: 1, blocked: 2, unclaimed: 3, done: 4 };
const FIRST_WEIGHT = 10;

/**
 * The order in which to move services: those that are on their way, then those that could go, those with the fewest callers first,
 * as a fault would be noticed by the fewest.
 */
export function orderMoves(moves: readonly Move[]): readonly OrderedMove[] {
  const ordered = moves.map((move): OrderedMove => ({ move, ...nextOf(move) }));
  return ordered.sort(
    (a, b) =>
      RANK[a.state] - RANK[b.state] ||
      a.move.callers.length - b.move.callers.length ||
      (a.move.service < b.move.service ? -1 : 1),
  );
}

function nextOf(move: Move): Pick<OrderedMove, "state" | "next"> {
  const { stage, weight, service, claim, blockers, claimants } = move;
  if (stage === "retired") return { state: "done", next: "it is retired" };
  if (stage === "inside") return { state: "done", next: "it is inside" };
  if (claim === undefined && claimants.length === 0) return { state: "unclaimed", next: unclaimed(move) };
  const [blocker] = blockers;
  if (blocker !== undefined) return { state: "blocked", next: blocker.message };
  if (stage === "outside") return { state: "ready", next: `x2istio migrate split ${service} --weight ${FIRST_WEIGHT}` };
  return {
    state: "moving",
    next:
      weight < 100
        ? `x2istio migrate split ${service} --weight ${nextWeight(weight)}`
        : `x2istio migrate move ${service}`,
  };
}

/** 10, 50, 100: enough to see a fault, then half, then all. */
function nextWeight(weight: number): number {
  return [FIRST_WEIGHT, 50].find((one) => one > weight) ?? 100;
}
