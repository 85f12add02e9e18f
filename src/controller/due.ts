import type { StageDecision } from "../model/claim.ts";

/** When everything is decided again. Times are of the monotonic clock. */
export interface Schedule {
  /** Nothing may be decided in part before everything was decided. */
  readonly isAllDue: boolean;
  readonly allDueMs: number;
  /** Until then what changes in the target waits, so that deciding on everything takes a fifth of the time at most. */
  readonly restedMs: number;
}

/** What has happened since the last pass. */
export interface Happened {
  readonly nowMs: number;
  /** A registry said something else. */
  readonly isChanged: boolean;
  /** Leadership, or what is asked for, changed. */
  readonly hasTurned: boolean;
  /** Something of the last pass could not be written. */
  readonly isUnfinished: boolean;
}

/** What is decided now: everything, or in part. */
export function dueNow(
  { isAllDue, allDueMs }: Schedule,
  { nowMs, isChanged, hasTurned, isUnfinished }: Happened,
  tickMs: number,
): "all" | "partial" {
  // A change in a registry goes first, but for at most one tick.
  const lateMs = isChanged ? tickMs : 0;
  return isAllDue || hasTurned || isUnfinished || nowMs >= allDueMs + lateMs ? "all" : "partial";
}

/** How far a partial decision went: it could not be made, it leaves something for a decision on everything, or it is whole. */
export type PartialOutcome = "impossible" | "unfinished" | "whole";

/** What follows a partial decision: a decision on everything at once, or a wait, and the schedule from then on. */
export function dueAfter(
  schedule: Schedule,
  outcome: PartialOutcome,
  { nowMs, isChanged }: Pick<Happened, "nowMs" | "isChanged">,
): { readonly next: "all" | "wait"; readonly schedule: Schedule } {
  if (outcome === "whole") return { next: "wait", schedule };
  if (outcome === "impossible" && isChanged) return { next: "all", schedule };
  // What comes from the target in a burst is decided together.
  const soonMs = Math.max(schedule.restedMs, nowMs + (isChanged ? SETTLING_MS : 0));
  const allDueMs = Math.min(schedule.allDueMs, soonMs);
  return { next: nowMs >= allDueMs ? "all" : "wait", schedule: { ...schedule, allDueMs } };
}

/** How long what comes in a burst is waited for. */
export const SETTLING_MS = 50;

/** What keeps changing in the target is decided as a whole in a fifth of the time at most. */
const REST = 4;

/** How long until the first step of a move may be taken that waits for clients; `nowMs` is of the target's clock. */
export function msUntilStep(stages: Iterable<Pick<StageDecision, "settlesAtMs">>, nowMs: number): number {
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { settlesAtMs } of stages)
    if (settlesAtMs !== undefined) soonestMs = Math.min(soonestMs, Math.max(0, settlesAtMs - nowMs));
  return soonestMs;
}

/** The schedule after everything was decided, which took `decidedMs`. */
export function scheduleAfterAll(nowMs: number, decidedMs: number, tickMs: number): Schedule {
  return { isAllDue: false, allDueMs: nowMs + tickMs, restedMs: nowMs + REST * decidedMs };
}
