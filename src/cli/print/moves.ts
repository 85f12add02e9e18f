import { type Move, stageShareText } from "../../migrate/moves.ts";
import { nameOf } from "../../plan/stages/preconditions.ts";

/** `{service, stage, …}` with stable fields. */
export function moveJson({ service, host, stage, weight, claimants, callers, blockers }: Move): object {
  return {
    ...{ service, host: host ?? null, stage, weight, callers },
    claimants: claimants.map(nameOf),
    blockers,
  };
}

/** Rows of a table of moves. */
export function moveRows(moves: readonly Move[]): readonly (readonly string[])[] {
  return [
    ["service", "callers", "stage", "claimant", "blockers"],
    ...moves.map((move) => [
      move.service,
      String(move.callers.length),
      stageShareText(move),
      move.claimants.map(nameOf).join(", ") || "nobody",
      move.blockers.map(({ message }) => message).join("; "),
    ]),
  ];
}
