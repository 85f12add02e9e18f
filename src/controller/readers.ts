import { describeError, readFailure } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Adapter, Snapshot } from "../model/adapter.ts";
import type { Reading } from "../plan/merge.ts";
import { type Changes, createChanges } from "./changes.ts";
import { backOff, firstOf, loop } from "./loop.ts";
import { runSchedule } from "./schedule.ts";
import { differences, type ReadPair } from "./snapshots.ts";
import { createTally } from "./tally.ts";

/** A registry to be read, with its poll schedule (cron with seconds). */
export interface ReadJob {
  readonly adapter: Adapter;
  readonly poll: string;
}

export interface Readers {
  /** The last reading of each registry, in the order of the jobs. A live view. */
  readonly readings: ReadonlyMap<string, Reading>;
  /** Milliseconds since the epoch of each registry's last successful read. */
  readonly readAtMs: ReadonlyMap<string, number>;
  /** Counts every reading that differs from the one before. */
  readonly changes: Changes;
  /** Resolves when all have ended. */
  readonly done: Promise<unknown>;
}

/**
 * Read every registry on its schedule and on its adapter's hints, each in a loop of its own: a slow one delays no other, and
 * reads of one never overlap. A failed read is tried again with back-off.
 */
export function startReaders(
  jobs: readonly ReadJob[],
  { signal, log, metrics }: { signal: AbortSignal; log: Log; metrics: Metrics },
): Readers {
  const readings = new Map<string, Reading>(jobs.map(({ adapter }) => [adapter.registry, { state: "unread" }]));
  const readAtMs = new Map<string, number>();
  const changes = createChanges();
  const tallies = new Map(jobs.map(({ adapter }) => [adapter.registry, createTally()]));
  const done = Promise.all(jobs.map((job) => readLoop(job)));
  return { readings, readAtMs, changes, done };

  async function readLoop({ adapter, poll }: ReadJob): Promise<void> {
    const { registry } = adapter;
    const due = createChanges();
    const scheduled = runSchedule(poll, () => due.notify(), signal);
    let trigger: "poll" | "hint" = "poll";
    let polled = due.version();
    let revision = "";
    try {
      await loop(
        async () => {
          polled = due.version();
          const started = performance.now();
          try {
            const snapshot = await adapter.read(signal, { trigger });
            revision = snapshot.revision;
            keep(registry, snapshot);
          } finally {
            metrics.registryReadDuration.observe({ registry }, (performance.now() - started) / 1000);
          }
        },
        {
          signal,
          onFailure(error, failures) {
            metrics.registryReads.inc({ registry, result: "failed" });
            metrics.registryFailures.inc({ registry, kind: readFailure(error) });
            fail(registry, describeError(error), failures);
          },
          async nextTurn(failures) {
            trigger = "poll";
            if (failures > 0) return backOff(failures, signal);
            await firstOf(
              signal,
              (inner) => due.wait(polled, inner),
              async (inner) => {
                if (adapter.waitForChange === undefined) return due.wait(polled, inner);
                await hint(adapter, revision, inner);
                trigger = due.version() === polled ? "hint" : "poll";
              },
            );
          },
        },
      );
    } finally {
      await scheduled;
    }
  }

  /** A hint that fails costs latency only: the schedule goes on. */
  async function hint(adapter: Adapter, revision: string, inner: AbortSignal): Promise<void> {
    try {
      await adapter.waitForChange?.(revision, inner);
    } catch (error) {
      if (inner.aborted) throw error;
      log.warn({ registry: adapter.registry, error }, "the registry's change hint failed; it is polled meanwhile");
      await new Promise((_, reject) => inner.addEventListener("abort", () => reject(inner.reason), { once: true }));
    }
  }

  function keep(registry: string, snapshot: Snapshot): void {
    const before = readings.get(registry);
    const { incomplete, skipped } = snapshot;
    readings.set(registry, { state: "read", snapshot });
    readAtMs.set(registry, Date.now());
    metrics.registryReads.inc({ registry, result: incomplete === undefined ? "ok" : "incomplete" });
    if (incomplete === undefined) metrics.readComplete(registry);
    for (const kind of metrics.skipKinds) metrics.registrySkipped.set({ registry, kind }, skipped?.[kind] ?? 0);
    const differs = before?.state === "read" ? differences(before.snapshot, snapshot) : undefined;
    if (differs?.length === 0) return;
    if (before?.state === "failed") log.info({ registry }, "the registry can be read again");
    if (incomplete !== undefined)
      log.warn({ registry, why: incomplete }, "the registry could be read only in part; nothing of it is taken away");
    count(registry, snapshot, differs);
    changes.notify();
  }

  function count(registry: string, snapshot: Snapshot, differs: readonly ReadPair[] | undefined): void {
    const tally = tallies.get(registry);
    for (const cause of tally?.update(snapshot, differs) ?? [])
      metrics.registryFailures.inc({ registry, kind: readFailure(cause) });
    metrics.registryServices.set({ registry }, snapshot.services.length);
    metrics.registryEndpoints.set({ registry }, tally?.endpoints() ?? 0);
    for (const kind of metrics.leftOutKinds)
      metrics.registryLeftOut.set({ registry, kind }, tally?.leftOut().get(kind) ?? 0);
  }

  function fail(registry: string, why: string, failures: number): void {
    const before = readings.get(registry);
    readings.set(registry, { state: "failed", why });
    // Said once, not with each try; the metric counts them all.
    if (failures === 1) log.warn({ registry, why }, "the registry cannot be read; its objects stay as they are");
    if (before?.state !== "failed" || before.why !== why) changes.notify();
  }
}
