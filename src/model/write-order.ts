import type { ObjectKey } from "./objects.ts";
import type { Change, Turn } from "./plan.ts";
import type { StandingObject } from "./standing.ts";

/** Writing a change, or what comes before it. */
export interface WriteStep {
  readonly change: Change;
  readonly isFirst?: true;
}

/** What is written one after the other: a phase begins when the one before has ended. */
const PHASES = ["standing", "entries", "others", "routes", "lettingGo", "aliases", "deletes", "entryDeletes"] as const;
export type WritePhase = (typeof PHASES)[number];

/**
 * Changes in the order in which they are written, so that no name is denied in between: what stands is brought up to date; then come
 * entries, what points to them, routes that turn to them, what lets go of names that others have by now, aliases that turn; deletes come
 * last, entries last of all.
 */
export function writePhases(changes: readonly Change[]): readonly (readonly WriteStep[])[] {
  const phases = new Map<WritePhase, WriteStep[]>(PHASES.map((phase) => [phase, []]));
  for (const change of changes) {
    phases.get(phaseOf(change))?.push({ change });
    if (turnOf(change)?.first !== undefined) phases.get("standing")?.push({ change, isFirst: true });
  }
  return [...phases.values()];
}

/** The phase in which a change is written as a whole. */
export function phaseOf(change: Change): WritePhase {
  if (change.kind === "create") return isOfEntry(change) ? "entries" : "others";
  if (change.kind === "delete") return isOfEntry(change) ? "entryDeletes" : "deletes";
  if (change.turn === undefined) return "standing";
  if (change.turn.meanwhile !== undefined) return "lettingGo";
  return change.object.manifest.kind === "Service" ? "aliases" : "routes";
}

/** Whether it is about a ServiceEntry. */
export function isOfEntry(change: Change): boolean {
  return (change.kind === "delete" ? change.standing : change.object).manifest.kind === "ServiceEntry";
}

/** The key of the object that a change is about. */
export function keyOf(change: Change): ObjectKey {
  return change.kind === "delete" ? change.standing.key : change.object.key;
}

export function turnOf(change: Change): Turn | undefined {
  return change.kind === "create" ? undefined : change.turn;
}

/** Whether all that a change waits for was written. */
export function isDueAfter(change: Change, written: ReadonlySet<ObjectKey>): boolean {
  return turnOf(change)?.after.every((key) => written.has(key)) ?? true;
}

/**
 * What a step writes: the change, or its object as it is before it or while it waits; `undefined` where nothing can be written.
 *
 * @param standing what earlier steps of the same write have left of it
 */
export function writtenBy(
  { change, isFirst }: WriteStep,
  written: ReadonlySet<ObjectKey>,
  standing: StandingObject | undefined,
): Change | undefined {
  if (change.kind !== "update") return isDueAfter(change, written) ? change : undefined;
  const { turn } = change;
  const whole = isFirst === true ? turn?.first : isDueAfter(change, written) ? change.object : turn?.meanwhile;
  if (whole === undefined) return undefined;
  const isMoved = turn?.first !== undefined && standing !== undefined && standing.uid === change.standing.uid;
  if (!isMoved && whole === change.object) return change;
  return { ...change, object: whole, ...(isMoved ? { standing } : {}) };
}
