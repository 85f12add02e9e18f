import { setTimeout as delay } from "node:timers/promises";
import { backOff } from "../async/back-off.ts";
import { firstOf, loop } from "../async/loop.ts";
import { yielding } from "../async/yielding.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Adapter } from "../model/adapter.ts";
import type { Settings } from "../model/settings.ts";
import type { Target, WriteReport } from "../model/target.ts";
import type { Reading } from "../plan/catalog/catalog.ts";
import { decideInSlices } from "../plan/decide.ts";
import type { Decision, DecisionInput } from "../plan/decision.ts";
import { rewriteEveryMs } from "../plan/demand.ts";
import { demandTtls, isStillNews, knows } from "../plan/known.ts";
import { type PlanMemory, planMemory } from "../plan/memory.ts";
import { decidePartlyInSlices } from "../plan/partial.ts";
import { standingServices } from "../plan/standing-services.ts";
import { type Asked, askedOf, obeyed } from "./asked.ts";
import { type Bookkeeping, createBookkeeping } from "./bookkeeping.ts";
import { createDemand, type Demand } from "./demand.ts";
import {
  dueAfter,
  dueNow,
  type Happened,
  msUntilStep,
  type PartialOutcome,
  type Schedule,
  SETTLING_MS,
  scheduleAfterAll,
} from "./due.ts";
import type { Leadership } from "./leadership.ts";
import { createDecided, type Decided } from "./looks.ts";
import { controllerMetrics } from "./metrics.ts";
import { type PassOptions, pass, writeUpdates } from "./pass.ts";
import { type Readers, startReaders } from "./readers.ts";

export interface ControllerOptions {
  readonly config: Settings;
  /** In configuration order. */
  readonly adapters: readonly Adapter[];
  /** Started, and watching. */
  readonly target: Target;
  readonly leadership: Leadership;
  /** Who asks for which services; nobody by default. */
  readonly demand?: Demand;
  /** Told of each decision on everything before any of it is written, and of what it was made from. */
  readonly onDecision?: (decision: Decision, readings: ReadonlyMap<string, Reading>) => void;
  /** Told what became of it. */
  readonly onWritten?: (report: WriteReport) => void;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface Controller {
  readonly readers: Readers;
  /** The last pass's decision; `undefined` before the first. Read it synchronously. */
  latest(): Decision | undefined;
  /** Whether the first pass has ended, well or not. */
  hasPassed(): boolean;
  /** Read a registry anew, or all of them, not too often, and decide on what has changed. @throws The signal's reason when it aborts. */
  look(registry: string | undefined, signal: AbortSignal): Promise<void>;
  /** Resolves when everything has ended after `signal` aborts. */
  readonly done: Promise<void>;
}

const MOST_TICK_MS = 10_000;
const PROGRESS_MS = 2_000;
/** What could not be done about a question is tried again for one that comes after so long. */
const ASKED_AGAIN_MS = 60_000;

/** What the controller works with, and how far it is. */
interface State extends Omit<ControllerOptions, "adapters" | "demand" | "metrics"> {
  readonly demand: Demand;
  readonly readers: Readers;
  readonly memory: PlanMemory;
  readonly books: Bookkeeping;
  /** Tombstones and brakes end and quarantines run out without any event: everything is decided again after so long. */
  readonly tickMs: number;
  /** Versions that the last decision was made from. */
  readonly seen: { readings: number; target: number; leadership: number; demand: number };
  schedule: Schedule;
  readonly decided: Decided;
  hasPassed: boolean;
  /** Passes in a row of which something could not be written. */
  unfinished: number;
}

/** Keep the target in step with the registries until `signal` aborts. Only the leader writes; everyone else decides and shows. */
export function startController(options: ControllerOptions): Controller {
  const { config, adapters, signal, log } = options;
  const metrics = options.metrics.once(controllerMetrics);
  const jobs = adapters.map((adapter) => ({
    adapter,
    poll: config.registries.find(({ name }) => name === adapter.registry)?.poll ?? "*/30 * * * * *",
  }));
  const memory = planMemory();
  const state: State = {
    ...options,
    demand: options.demand ?? createDemand(),
    readers: startReaders(jobs, {
      standing: (registry) => standingServices(options.target.standing(), registry, config.merge),
      ...{ signal, log, metrics },
    }),
    memory,
    books: createBookkeeping(config, memory, log, metrics),
    tickMs: tickMsOf(config.policy),
    seen: { readings: -1, target: -1, leadership: -1, demand: -1 },
    schedule: { isAllDue: true, allDueMs: 0, restedMs: 0 },
    decided: createDecided(),
    hasPassed: false,
    unfinished: 0,
  };
  const ttlMs = demandTtls(config.registries);
  state.demand.judge(
    (service, atMs) => {
      const latest = state.decided.latest();
      return latest !== undefined && isStillNews(latest, service, atMs, ttlMs);
    },
    Math.min(ASKED_AGAIN_MS, ...[...ttlMs.values()].map(rewriteEveryMs)),
  );
  const passes = loop(() => onePass(state), {
    signal,
    onFailure(error, failures) {
      state.hasPassed = true;
      state.schedule = { ...state.schedule, isAllDue: true };
      metrics.passRuns.inc({ result: "failed" });
      if (failures === 1) log.error({ error }, "the pass failed; it is tried again");
    },
    nextTurn: (failures) => (failures > 0 ? backOff(failures, signal) : nextTurn(state)),
  });
  return {
    readers: state.readers,
    latest: state.decided.latest,
    hasPassed: () => state.hasPassed,
    async look(registry, within) {
      await state.readers.look(registry, within);
      await state.decided.untilMadeFrom(state.readers.changes.version(), within);
    },
    done: Promise.all([passes, state.readers.done]).then(() => undefined),
  };
}

function tickMsOf({ keepEmptyMs, releaseAfterMs = keepEmptyMs }: Settings["policy"]): number {
  return Math.min(MOST_TICK_MS, Math.max(250, Math.min(keepEmptyMs, releaseAfterMs) / 4));
}

/** Wait until something changes, or everything is due again. */
async function nextTurn(state: State): Promise<void> {
  const { readers, target, leadership, demand, seen, unfinished, schedule, signal } = state;
  await firstOf(
    signal,
    (inner) => readers.changes.wait(seen.readings, inner),
    (inner) => target.waitForChange(seen.target, inner),
    (inner) => leadership.changes.wait(seen.leadership, inner),
    (inner) => demand.changes.wait(seen.demand, inner),
    (inner) =>
      unfinished > 0 ? backOff(unfinished, inner) : delay(msUntil(schedule.allDueMs), undefined, { signal: inner }),
  );
  // What comes from the target in a burst is one turn; but no registry waits for that.
  await firstOf(
    signal,
    (inner) => delay(SETTLING_MS, undefined, { signal: inner }),
    (inner) => readers.changes.wait(seen.readings, inner),
  );
}

async function onePass(state: State): Promise<void> {
  const { readers, leadership, demand, seen, unfinished } = state;
  const happened: Happened = {
    nowMs: performance.now(),
    isChanged: seen.readings !== readers.changes.version(),
    hasTurned: seen.leadership !== leadership.changes.version() || seen.demand !== demand.changes.version(),
    isUnfinished: unfinished > 0,
  };
  if (dueNow(state.schedule, happened, state.tickMs) === "all") return passAll(state);
  const outcome = await passPartly(state);
  const { next, schedule } = dueAfter(state.schedule, outcome, { ...happened, nowMs: performance.now() });
  state.schedule = schedule;
  if (next === "all") await passAll(state);
}

/** Decide everything, and write it. */
async function passAll(state: State): Promise<void> {
  const { leadership, readers, demand, target, seen, config, memory, books, signal } = state;
  const startedMs = performance.now();
  let decidedMs = 0;
  state.schedule = { ...state.schedule, isAllDue: true };
  seen.leadership = leadership.changes.version();
  const isLeader = leadership.isLeader();
  const asked = askedOf(leadership);
  const isAnswered = [...readers.readings.values()].every(({ state: reading }) => reading !== "unread");
  const { decision, report, ledgerWrites } = await pass({
    ...passOptions(state, isLeader),
    async decide() {
      const beganMs = performance.now();
      seen.readings = readers.changes.version();
      seen.target = target.version();
      seen.demand = demand.changes.version();
      const readings = new Map(readers.readings);
      const decided = await yielding(decideInSlices(config, inputOf(state, asked), memory), signal);
      decidedMs += performance.now() - beganMs;
      state.onDecision?.(decided, readings);
      return { ...decided, plan: books.refusals.sift(decided.plan) };
    },
  });
  state.onWritten?.(report);
  state.decided.keep(decision, seen.readings);
  const tickMs = Math.min(state.tickMs, msUntilStep(decision.stages.values(), target.nowMs()));
  state.schedule = scheduleAfterAll(performance.now(), decidedMs, tickMs);
  demand.keep((service) => knows(decision, service));
  books.decided(decision, leadership.isLeader());
  await conclude(state, decision, report, ledgerWrites, startedMs);
  const allDueMs = Math.min(state.schedule.allDueMs, performance.now() + books.refusals.msUntilDue());
  state.schedule = { ...state.schedule, allDueMs };
  if (isLeader) obeyed(asked, leadership, target);
  // Before every registry has answered, well or not, there is nothing to write for it: that is no first pass yet.
  state.hasPassed ||= isAnswered;
}

/** Decide what changed by itself, and write it; tells how far that went. */
async function passPartly(state: State): Promise<PartialOutcome> {
  const { target, readers, leadership, seen, config, memory, books, signal } = state;
  const changed = target.changesSince(seen.target);
  seen.readings = readers.changes.version();
  seen.target = target.version();
  const input = inputOf(state, askedOf(leadership));
  const partial = await yielding(decidePartlyInSlices(config, input, changed, memory), signal);
  if (partial === undefined) return "impossible";
  const startedMs = performance.now();
  const decision = { ...partial.decision, plan: books.refusals.sift(partial.decision.plan) };
  const report = await writeUpdates(decision, passOptions(state, leadership.isLeader()));
  state.decided.keep(decision, seen.readings);
  await conclude(state, decision, report, 0, startedMs);
  return partial.isUnfinished ? "unfinished" : "whole";
}

async function conclude(
  state: State,
  decision: Decision,
  report: WriteReport,
  ledgerWrites: number,
  startedMs: number,
): Promise<void> {
  const { books, target, leadership } = state;
  const tookMs = performance.now() - startedMs;
  const notices = books.written(decision, { report, ledgerWrites, tookMs });
  const isWhole = report.results.every(({ outcome }) => outcome === "written");
  state.unfinished = isWhole ? 0 : state.unfinished + 1;
  const how = passOptions(state, leadership.isLeader());
  if (notices.length > 0 && !how.isDryRun) await target.report([], how, notices);
}

function passOptions(
  { target, config, leadership, books, signal, log }: State,
  isLeader: boolean,
): Omit<PassOptions, "decide"> {
  const { repairs, refusals } = books;
  return {
    target,
    isDryRun: !isLeader || config.policy.mode === "dry-run",
    signal,
    isDue: (change) => repairs.isDue(change) && refusals.isDue(change),
    mayWrite: () => leadership.isLeader() && !signal.aborted,
    onProgress: progressLog(log),
  };
}

function inputOf({ target, readers, demand }: State, { released, pruned }: Asked): DecisionInput {
  const nowMs = target.nowMs();
  return {
    readings: readers.readings,
    standing: target.standing(),
    nowMs,
    allowDeletes: new Set(released),
    prune: new Set(pruned),
    asked: demand.demands(),
  };
}

/** Milliseconds left until a time of the monotonic clock; 0 when it is over. */
function msUntil(timeMs: number): number {
  return Math.max(0, timeMs - performance.now());
}

/** Logs how far a long write is, now and then. */
function progressLog(log: Log): (done: number, total: number) => void {
  let saidAt = performance.now();
  return (done, total) => {
    if (performance.now() - saidAt < PROGRESS_MS) return;
    saidAt = performance.now();
    log.info({ done, total }, "writing");
  };
}
