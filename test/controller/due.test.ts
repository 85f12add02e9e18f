import assert from "node:assert/strict";
import { test } from "node:test";
import {
  dueAfter,
  dueNow,
  type Happened,
  msUntilStep,
  type PartialOutcome,
  type Schedule,
  scheduleAfterAll,
} from "../../src/controller/due.ts";

const TICK_MS = 1000;
const NOW_MS = 50_000;
const later: Schedule = { isAllDue: false, allDueMs: NOW_MS + 400, restedMs: 0 };
const nothing: Happened = { nowMs: NOW_MS, isChanged: false, hasTurned: false, isUnfinished: false };

const now: readonly {
  readonly name: string;
  readonly schedule?: Partial<Schedule>;
  readonly happened?: Partial<Happened>;
  readonly want: "all" | "partial";
}[] = [
  { name: "a change in the target is decided in part", want: "partial" },
  { name: "a change in a registry is decided in part", happened: { isChanged: true }, want: "partial" },
  { name: "everything is decided first", schedule: { isAllDue: true }, want: "all" },
  { name: "leadership and demand concern everything", happened: { hasTurned: true }, want: "all" },
  { name: "what could not be written is decided anew", happened: { isUnfinished: true }, want: "all" },
  { name: "everything is due by the schedule", schedule: { allDueMs: NOW_MS }, want: "all" },
  { name: "not before the schedule", schedule: { allDueMs: NOW_MS + 1 }, want: "partial" },
  {
    name: "a change in a registry goes before what is due",
    schedule: { allDueMs: NOW_MS - TICK_MS + 1 },
    happened: { isChanged: true },
    want: "partial",
  },
  {
    name: "a change in a registry goes first for a tick at most",
    schedule: { allDueMs: NOW_MS - TICK_MS },
    happened: { isChanged: true },
    want: "all",
  },
];
for (const { name, schedule, happened, want } of now) {
  test(`dueNow(): ${name}`, () => {
    assert.equal(dueNow({ ...later, ...schedule }, { ...nothing, ...happened }, TICK_MS), want);
  });
}

const after: readonly {
  readonly name: string;
  readonly outcome: PartialOutcome;
  readonly isChanged?: boolean;
  readonly schedule?: Partial<Schedule>;
  readonly next: "all" | "wait";
  readonly allDueMs: number;
}[] = [
  { name: "a whole decision changes nothing", outcome: "whole", next: "wait", allDueMs: NOW_MS + 400 },
  {
    name: "a whole decision leaves what is overdue to the next turn",
    outcome: "whole",
    isChanged: true,
    schedule: { allDueMs: NOW_MS - 5 },
    next: "wait",
    allDueMs: NOW_MS - 5,
  },
  {
    name: "a registry's change that cannot be decided in part is decided with everything at once",
    outcome: "impossible",
    isChanged: true,
    schedule: { restedMs: NOW_MS + 9000 },
    next: "all",
    allDueMs: NOW_MS + 400,
  },
  {
    name: "the target's change that cannot be decided in part is decided with everything once rested",
    outcome: "impossible",
    schedule: { restedMs: NOW_MS + 100 },
    next: "wait",
    allDueMs: NOW_MS + 100,
  },
  {
    name: "the target's change that cannot be decided in part is decided at once where the rest is over",
    outcome: "impossible",
    next: "all",
    allDueMs: NOW_MS,
  },
  {
    name: "what is left to a decision on everything waits for the rest",
    outcome: "unfinished",
    schedule: { restedMs: NOW_MS + 300 },
    next: "wait",
    allDueMs: NOW_MS + 300,
  },
  {
    name: "what is left to a decision on everything never waits longer than the schedule",
    outcome: "unfinished",
    schedule: { restedMs: NOW_MS + 9000 },
    next: "wait",
    allDueMs: NOW_MS + 400,
  },
  {
    name: "what is left after a registry's change waits for what comes in the same burst",
    outcome: "unfinished",
    isChanged: true,
    next: "wait",
    allDueMs: NOW_MS + 50,
  },
];
for (const { name, outcome, isChanged = false, schedule, next, allDueMs } of after) {
  test(`dueAfter(): ${name}`, () => {
    const before = { ...later, ...schedule };
    assert.deepEqual(dueAfter(before, outcome, { nowMs: NOW_MS, isChanged }), {
      next,
      schedule: { ...before, allDueMs },
    });
  });
}

test("scheduleAfterAll() decides everything again after a tick, and for the target's changes after a rest", () => {
  assert.deepEqual(scheduleAfterAll(NOW_MS, 25, TICK_MS), {
    isAllDue: false,
    allDueMs: NOW_MS + TICK_MS,
    restedMs: NOW_MS + 100,
  });
});

test("msUntilStep() is the time until the first step that waits for clients", () => {
  const at = (settlesAtMs?: number) => ({ settlesAtMs });
  assert.equal(msUntilStep([at(), at(NOW_MS + 700), at(NOW_MS + 300)], NOW_MS), 300);
  assert.equal(msUntilStep([at(NOW_MS - 1)], NOW_MS), 0);
  assert.equal(msUntilStep([at()], NOW_MS), Number.POSITIVE_INFINITY);
});
