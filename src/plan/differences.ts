import { describeError } from "../errors.ts";
import type { ServiceRead, Snapshot } from "../model/adapter.ts";

/** Two reads at the same place of two snapshots. */
export type ReadPair = readonly [before: ServiceRead, now: ServiceRead];

/**
 * What differs between two snapshots, place by place; `undefined` when the lists themselves do. Adapters hand back unchanged
 * services as the same objects.
 */
export function differences(before: Snapshot, now: Snapshot): readonly ReadPair[] | undefined {
  if (before === now) return [];
  if (before.incomplete !== now.incomplete || before.services.length !== now.services.length) return undefined;
  const pairs: ReadPair[] = [];
  for (const [at, read] of now.services.entries()) {
    const other = before.services[at];
    if (other !== undefined && other !== read && !isSame(other, read)) pairs.push([other, read]);
  }
  return pairs;
}

function isSame(a: ServiceRead, b: ServiceRead): boolean {
  if (a.state === "ok" && b.state === "ok") return a.service === b.service;
  if (a.state === "ok" || b.state === "ok" || a.key !== b.key) return false;
  return a.cause === b.cause || describeError(a.cause) === describeError(b.cause);
}
