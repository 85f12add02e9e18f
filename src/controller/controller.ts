import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Adapter } from "../model/adapter.ts";
import type { Target, WriteResult } from "../model/target.ts";
import { type Computation, createCompute, type Settings } from "./compute.ts";
import { createHoldLog } from "./holds.ts";
import type { Leadership } from "./leadership.ts";
import { backOff, firstOf, loop } from "./loop.ts";
import { type PassResult, pass } from "./pass.ts";
import { createEndpointPeaks } from "./peaks.ts";
import { type Readers, startReaders } from "./readers.ts";

export interface ControllerOptions {
  readonly config: Settings;
  /** In configuration order. */
  readonly adapters: readonly Adapter[];
  /** Started, and watching. */
  readonly target: Target;
  readonly leadership: Leadership;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface Controller {
  readonly readers: Readers;
  /** The last pass's decision; `undefined` before the first. */
  latest(): Computation | undefined;
  /** Whether the first pass has ended, well or not. */
  hasPassed(): boolean;
  /** Resolves when everything has ended after `signal` aborts. */
  readonly done: Promise<void>;
}

/** An object that someone else moved is looked at again at once, one that was refused after a while. */
const SETTLING_MS = 50;
const MOST_TICK_MS = 10_000;
const PROGRESS_MS = 2_000;

/** Keep the target in step with the registries until `signal` aborts. Only the leader writes; everyone else decides and shows. */
export function startController(options: ControllerOptions): Controller {
  const { config, adapters, target, leadership, signal, log, metrics } = options;
  const jobs = adapters.map((adapter) => ({
    adapter,
    poll: config.registries.find(({ name }) => name === adapter.registry)?.poll ?? "*/30 * * * * *",
  }));
  const readers = startReaders(jobs, { signal, log, metrics });
  const compute = createCompute(config);
  const peaks = createEndpointPeaks(config.policy.keepEmptyMs);
  const holds = createHoldLog(log, metrics);
  // Tombstones end and quarantines run out without any event.
  const tickMs = Math.min(MOST_TICK_MS, Math.max(250, config.policy.keepEmptyMs / 4));
  const seen = { readings: -1, target: -1, leadership: -1 };
  let latest: Computation | undefined;
  let hasPassed = false;
  let unfinished = 0;

  const passes = loop(onePass, {
    signal,
    onFailure(error, failures) {
      hasPassed = true;
      metrics.passRuns.inc({ result: "failed" });
      if (failures === 1) log.error({ error }, "the pass failed; it is tried again");
    },
    async nextTurn(failures) {
      if (failures > 0) return backOff(failures, signal);
      await firstOf(signal, ...waits());
      // What comes in a burst (a list of changes, our own writes coming back) is one turn.
      if (seen.readings === readers.changes.version()) await delay(SETTLING_MS, undefined, { signal });
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
      (inner) => (unfinished > 0 ? backOff(unfinished, inner) : delay(tickMs, undefined, { signal: inner })),
    ];
  }

  async function onePass(): Promise<void> {
    seen.readings = readers.changes.version();
    seen.target = target.version();
    seen.leadership = leadership.changes.version();
    const started = performance.now();
    const isLeader = leadership.isLeader();
    metrics.leaderState.set(isLeader ? 1 : 0);
    const released = leadership.allowDeletes();
    const isAnswered = [...readers.readings.values()].every(({ state }) => state !== "unread");
    const result = await pass({
      target,
      isDryRun: !isLeader || config.policy.mode === "dry-run",
      signal,
      mayWrite: () => leadership.isLeader() && !signal.aborted,
      onProgress: progressLog(log),
      compute: () => {
        const nowMs = target.nowMs();
        return compute({
          readings: readers.readings,
          standing: target.standing(),
          nowMs,
          allowDeletes: new Set(released),
          endpointPeaks: peaks.peaks(nowMs),
        });
      },
    });
    latest = result.computation;
    record(result, started);
    if (isLeader && released.length > 0) leadership.releaseDone();
    // Before every registry has answered, well or not, there is nothing to write for it: that is no first pass yet.
    hasPassed ||= isAnswered;
  }

  function record({ computation, report, ledgerWrites }: PassResult, started: number): void {
    const { plan, ledger } = computation;
    peaks.record(plan.endpointTotals, target.nowMs());
    holds.record(plan.hold, report, unreadRegistries(computation));
    const counts = countOutcomes(report.results);
    unfinished = counts.written < report.results.length ? unfinished + 1 : 0;
    metrics.passRuns.inc({ result: "ok" });
    metrics.passDuration.observe((performance.now() - started) / 1000);
    for (const { name: registry } of config.registries) {
      for (const kind of ["services", "endpoints"] as const) {
        metrics.brakeState.set(
          { registry, kind },
          plan.brakes.some((brake) => brake.registry === registry && brake.kind === kind) ? 1 : 0,
        );
      }
    }
    if (ledger !== undefined) {
      const lines = [...ledger.lines.values()].filter(({ owner }) => owner === config.owner);
      const resting = lines.filter(({ restingSinceMs }) => restingSinceMs !== undefined).length;
      metrics.vipsUsed.set(lines.length - resting);
      metrics.vipsResting.set(resting);
    }
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
  }
}

function unreadRegistries({ catalog }: Computation): ReadonlySet<string> {
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
