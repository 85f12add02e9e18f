import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Adapter } from "../model/adapter.ts";
import type { Target, WriteReport, WriteResult } from "../model/target.ts";
import { rewriteEveryMs } from "../plan/demand.ts";
import { brakeNotice, createBrakeLog, createBrakeTimes } from "./brakes.ts";
import { type Computation, type ComputeInput, createPipeline, type Decision, type Settings } from "./compute.ts";
import { createDemand, type Demand } from "./demand.ts";
import { createHoldLog } from "./holds.ts";
import { decayedEndpoints, demandCounts, demandTtls, isStillNews, knows } from "./known.ts";
import type { Leadership } from "./leadership.ts";
import { backOff, firstOf, loop } from "./loop.ts";
import { insideEndpoints } from "./moving.ts";
import { type PassOptions, pass, writeUpdates } from "./pass.ts";
import { createEndpointPeaks } from "./peaks.ts";
import { type Readers, startReaders } from "./readers.ts";
import { createRefusals } from "./refusals.ts";
import { createRepairs } from "./repairs.ts";
import { inTurns } from "./turns.ts";

export interface ControllerOptions {
  readonly config: Settings;
  /** In configuration order. */
  readonly adapters: readonly Adapter[];
  /** Started, and watching. */
  readonly target: Target;
  readonly leadership: Leadership;
  /** Who asks for which services; nobody by default. */
  readonly demand?: Demand;
  /** Told of each look at everything before anything of it is written. */
  readonly onDecision?: (decision: Decision) => void;
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
  /** Resolves when everything has ended after `signal` aborts. */
  readonly done: Promise<void>;
}

/** An object that someone else moved is looked at again at once, one that was refused after a while. */
const SETTLING_MS = 50;
/** What keeps moving in the target is looked at as a whole in a fifth of the time at most. */
const REST = 4;
const MOST_TICK_MS = 10_000;
const PROGRESS_MS = 2_000;
/** What could not be done about a question is tried again for one that comes after so long. */
const ASKED_AGAIN_MS = 60_000;

/** Keep the target in step with the registries until `signal` aborts. Only the leader writes; everyone else decides and shows. */
export function startController(options: ControllerOptions): Controller {
  const { config, adapters, target, leadership, demand = createDemand(), signal, log, metrics } = options;
  const jobs = adapters.map((adapter) => ({
    adapter,
    poll: config.registries.find(({ name }) => name === adapter.registry)?.poll ?? "*/30 * * * * *",
  }));
  const readers = startReaders(jobs, { signal, log, metrics });
  const pipeline = createPipeline(config);
  const peaks = createEndpointPeaks(config.policy.keepEmptyMs);
  const holds = createHoldLog(log, metrics);
  const repairs = createRepairs(pipeline.hasStood, log, metrics);
  const refusals = createRefusals();
  const brakes = createBrakeTimes(config.policy.releaseAfterMs);
  const brakeLog = createBrakeLog(log);
  // Tombstones end and quarantines run out without any event.
  const tickMs = Math.min(MOST_TICK_MS, Math.max(250, config.policy.keepEmptyMs / 4));
  const ttlMs = demandTtls(config.registries);
  demand.judge(
    (service, atMs) => latest !== undefined && isStillNews(latest, service, atMs, ttlMs),
    Math.min(ASKED_AGAIN_MS, ...[...ttlMs.values()].map(rewriteEveryMs)),
  );
  const seen = { readings: -1, target: -1, leadership: -1, demand: -1 };
  let latest: Decision | undefined;
  let hasPassed = false;
  let unfinished = 0;
  /** Nothing may be decided in part before everything was looked at. */
  let isAllDue = true;
  /** When everything is looked at again, and when it may be again for what moves in the target; by the monotonic clock. */
  let allDueMs = 0;
  let restedMs = 0;

  const passes = loop(onePass, {
    signal,
    onFailure(error, failures) {
      hasPassed = true;
      isAllDue = true;
      metrics.passRuns.inc({ result: "failed" });
      if (failures === 1) log.error({ error }, "the pass failed; it is tried again");
    },
    async nextTurn(failures) {
      if (failures > 0) return backOff(failures, signal);
      await firstOf(signal, ...waits());
      // What comes from the target in a burst is one turn; but no registry waits for that.
      await firstOf(
        signal,
        (inner) => delay(SETTLING_MS, undefined, { signal: inner }),
        (inner) => readers.changes.wait(seen.readings, inner),
      );
    },
  });
  return {
    readers,
    latest: () => latest,
    hasPassed: () => hasPassed,
    done: Promise.all([passes, readers.done]).then(() => undefined),
  };

  function waits(): ((inner: AbortSignal) => Promise<unknown>)[] {
    return [
      (inner) => readers.changes.wait(seen.readings, inner),
      (inner) => target.waitForChange(seen.target, inner),
      (inner) => leadership.changes.wait(seen.leadership, inner),
      (inner) => demand.changes.wait(seen.demand, inner),
      (inner) => (unfinished > 0 ? backOff(unfinished, inner) : delay(msUntil(allDueMs), undefined, { signal: inner })),
    ];
  }

  async function onePass(): Promise<void> {
    const isMoved = seen.readings !== readers.changes.version();
    const hasTurned = seen.leadership !== leadership.changes.version() || seen.demand !== demand.changes.version();
    // A change in a registry goes first, but for at most one tick.
    if (isAllDue || hasTurned || unfinished > 0 || msUntil(allDueMs + (isMoved ? tickMs : 0)) === 0) return passAll();
    const some = decideSome();
    if (some !== undefined) await passSome(some.decision);
    if (some?.isUnfinished === false) return;
    if (some === undefined && isMoved) return passAll();
    allDueMs = Math.min(allDueMs, Math.max(restedMs, performance.now() + (isMoved ? SETTLING_MS : 0)));
    if (msUntil(allDueMs) === 0) await passAll();
  }

  async function passAll(): Promise<void> {
    const started = performance.now();
    let computeMs = 0;
    isAllDue = true;
    seen.leadership = leadership.changes.version();
    const isLeader = leadership.isLeader();
    const released = leadership.allowDeletes();
    const isAnswered = [...readers.readings.values()].every(({ state }) => state !== "unread");
    const { computation, report, ledgerWrites } = await pass({
      ...passOptions(isLeader),
      async compute() {
        const beganMs = performance.now();
        seen.readings = readers.changes.version();
        seen.target = target.version();
        seen.demand = demand.changes.version();
        const decided = await inTurns(pipeline.all(input(released)), signal);
        computeMs += performance.now() - beganMs;
        options.onDecision?.(decided);
        return { ...decided, plan: refusals.sift(decided.plan) };
      },
    });
    latest = computation;
    isAllDue = false;
    allDueMs = performance.now() + tickMs;
    restedMs = performance.now() + REST * computeMs;
    recordAll(computation);
    await record(computation, report, ledgerWrites, started);
    allDueMs = Math.min(allDueMs, performance.now() + refusals.msUntilDue());
    if (isLeader && released.length > 0) leadership.releaseDone();
    // Before every registry has answered, well or not, there is nothing to write for it: that is no first pass yet.
    hasPassed ||= isAnswered;
  }

  function decideSome() {
    const changed = target.changesSince(seen.target);
    seen.readings = readers.changes.version();
    seen.target = target.version();
    return pipeline.some(input(leadership.allowDeletes()), changed);
  }

  async function passSome(decided: Decision): Promise<void> {
    const started = performance.now();
    const decision = { ...decided, plan: refusals.sift(decided.plan) };
    const report = await writeUpdates(decision, passOptions(leadership.isLeader()));
    latest = decision;
    await record(decision, report, 0, started);
  }

  function passOptions(isLeader: boolean): Omit<PassOptions, "compute"> {
    return {
      target,
      isDryRun: !isLeader || config.policy.mode === "dry-run",
      signal,
      isDue: (change) => repairs.isDue(change) && refusals.isDue(change),
      mayWrite: () => leadership.isLeader() && !signal.aborted,
      onProgress: progressLog(log),
    };
  }

  function input(released: readonly string[]): ComputeInput {
    const nowMs = target.nowMs();
    return {
      readings: readers.readings,
      standing: target.standing(),
      nowMs,
      allowDeletes: new Set([...released, ...brakes.released(nowMs)]),
      endpointPeaks: peaks.peaks(nowMs),
      asked: demand.demands(),
    };
  }

  /** What only a look at everything can change. */
  function recordAll(computation: Computation): void {
    const { plan, ledger } = computation;
    demand.keep((service) => knows(computation, service));
    for (const [registry, counts] of demandCounts(computation, ttlMs.keys()))
      for (const state of ["demanded", "known"] as const)
        metrics.demandServices.set({ registry, state }, counts[state]);
    metrics.leaderState.set(leadership.isLeader() ? 1 : 0);
    brakeLog.record(plan.brakes);
    for (const registry of brakes.record(plan.brakes, target.nowMs()))
      log.warn({ registry }, "the registry's brake was on for policy.releaseAfter and has been released");
    for (const { name: registry } of config.registries) {
      for (const kind of ["services", "endpoints"] as const) {
        metrics.brakeState.set(
          { registry, kind },
          plan.brakes.some((brake) => brake.registry === registry && brake.kind === kind) ? 1 : 0,
        );
      }
    }
    if (ledger === undefined) return;
    const lines = [...ledger.lines.values()].filter(({ owner }) => owner === config.owner);
    const resting = lines.filter(({ restingSinceMs }) => restingSinceMs !== undefined).length;
    metrics.vipsUsed.set(lines.length - resting);
    metrics.vipsResting.set(resting);
  }

  async function record(decision: Decision, report: WriteReport, ledgerWrites: number, started: number): Promise<void> {
    const { plan } = decision;
    peaks.record(plan.endpointTotals, target.nowMs());
    for (const [registry, endpoints] of decayedEndpoints(report)) peaks.lower(registry, endpoints);
    for (const [registry, endpoints] of insideEndpoints(report)) peaks.lower(registry, endpoints);
    holds.record(plan.hold, report, unreadRegistries(decision));
    refusals.record(report);
    const counts = countOutcomes(report.results);
    unfinished = counts.written < report.results.length ? unfinished + 1 : 0;
    metrics.passRuns.inc({ result: "ok" });
    metrics.passDuration.observe((performance.now() - started) / 1000);
    if (report.results.length > 0 || ledgerWrites > 0) {
      log.info(
        {
          ...counts,
          unchanged: plan.unchanged,
          held: plan.hold.length,
          ledgerWrites,
          ms: Math.round(performance.now() - started),
        },
        "wrote what changed",
      );
    }
    const notices = [...repairs.record(report), ...plan.brakes.map(brakeNotice)];
    const how = passOptions(leadership.isLeader());
    if (notices.length > 0 && !how.isDryRun) await target.report([], how, notices);
  }
}

/** Milliseconds left until a time of the monotonic clock; 0 when it is over. */
function msUntil(timeMs: number): number {
  return Math.max(0, timeMs - performance.now());
}

function unreadRegistries({ catalog }: Decision): ReadonlySet<string> {
  const unread = [...catalog.authorities].filter(([, { state }]) => state === "unread" || state === "failed");
  return new Set(unread.map(([registry]) => registry));
}

function countOutcomes(results: readonly WriteResult[]): {
  created: number;
  updated: number;
  deleted: number;
  written: number;
  unwritten: number;
} {
  const done = results.filter(({ outcome }) => outcome === "written");
  const of = (kind: string) => done.filter(({ change }) => change.kind === kind).length;
  return {
    created: of("create"),
    updated: of("update"),
    deleted: of("delete"),
    written: done.length,
    unwritten: results.length - done.length,
  };
}

function progressLog(log: Log): (done: number, total: number) => void {
  let saidAt = performance.now();
  return (done, total) => {
    if (performance.now() - saidAt < PROGRESS_MS) return;
    saidAt = performance.now();
    log.info({ done, total }, "writing");
  };
}
