import type { Target } from "../model/target.ts";
import type { Leadership } from "./leadership.ts";

/** What operators asked whoever leads for. */
export interface Asked {
  /** Registries whose brake is released. */
  readonly released: readonly string[];
  /** Registries that have left the configuration and of which nothing is to stand any more. */
  readonly pruned: readonly string[];
}

export function askedOf(leadership: Leadership): Asked {
  return { released: leadership.allowDeletes(), pruned: leadership.prunes() };
}

/** A pass that obeyed it was written: a release is for that once, pruning goes on until nothing is left. */
export function obeyed({ released, pruned }: Asked, leadership: Leadership, target: Pick<Target, "standing">): void {
  if (released.length > 0) leadership.releaseDone();
  if (pruned.length > 0 && !isLeft(target, pruned)) leadership.pruneDone();
}

/** Whether something of them stands that is ours to delete and that is not being deleted. */
function isLeft(target: Pick<Target, "standing">, registries: readonly string[]): boolean {
  return [...target.standing().objects.values()].some(
    ({ registry, service, yielded, terminating }) =>
      registries.includes(registry) && service !== undefined && (yielded ?? terminating) === undefined,
  );
}
