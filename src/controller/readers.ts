import { backOff } from "../async/back-off.ts";
import { type Changes, createChanges } from "../async/changes.ts";
import { firstOf, loop } from "../async/loop.ts";
import { describeError, readFailure } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Adapter, Snapshot } from "../model/adapter.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Reading } from "../plan/catalog/catalog.ts";
import { differences, type ReadPair } from "../plan/differences.ts";
import { createLooks, type Looks } from "./looks.ts";
import type { ControllerMetrics } from "./metrics.ts";
import { runSchedule } from "./schedule.ts";
import { createTally, type Tally } from "./tally.ts";

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
  /** Read a registry anew, or all of them, not too often; resolves when that has ended. @throws The signal's reason when it aborts. */
  look(registry: string | undefined, signal: AbortSignal): Promise<void>;
  /** Resolves when all have ended. */
  readonly done: Promise<unknown>;
}

interface State extends ReaderOptions {
  readonly readings: Map<string, Reading>;
  readonly readAtMs: Map<string, number>;
  readonly changes: Changes;
  /** By registry. */
  readonly tallies: ReadonlyMap<string, Tally>;
  readonly looks: ReadonlyMap<string, Looks>;
}

/** What registries are read with. */
export interface ReaderOptions {
  /** Keys of a registry's services that stand now. */
  readonly standing: (registry: string) => readonly ServiceKey[];
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
}

/**
 * Read every registry on its schedule and on its adapter's hints, each in a loop of its own: a slow one delays no other, and
 * reads of one never overlap. A failed read is tried again with back-off.
 */
export function startReaders(jobs: readonly ReadJob[], options: ReaderOptions): Readers {
  const state: State = {
    readings: new Map(jobs.map(({ adapter }) => [adapter.registry, { state: "unread" } as const])),
    readAtMs: new Map(),
    changes: createChanges(),
    tallies: new Map(jobs.map(({ adapter }) => [adapter.registry, createTally()])),
    looks: new Map(jobs.map(({ adapter }) => [adapter.registry, createLooks()])),
    ...options,
  };
  const { readings, readAtMs, changes } = state;
  async function look(registry: string | undefined, signal: AbortSignal): Promise<void> {
    const looks = [...state.looks].filter(([name]) => registry === undefined || name === registry);
    await Promise.all(looks.map(([, one]) => one.look(signal)));
  }
  return { readings, readAtMs, changes, look, done: Promise.all(jobs.map((job) => readAgain(state, job))) };
}

/** A registry that is back is seen within this time. */
const MOST_RETRY_MS = 5000;

/** Read one registry again and again. */
async function readAgain(state: State, { adapter, poll }: ReadJob): Promise<void> {
  const { signal, metrics } = state;
  const { registry } = adapter;
  const standing = () => state.standing(registry);
  const looks = state.looks.get(registry) ?? createLooks();
  const { due } = looks;
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
          const snapshot = await adapter.read(signal, { trigger, standing, isAwaited: looks.isAwaited() });
          revision = snapshot.revision;
          keep(state, registry, snapshot);
        } finally {
          looks.ended(polled);
          metrics.registryReadDuration.observe({ registry }, (performance.now() - started) / 1000);
        }
      },
      {
        signal,
        onFailure: (error, failures) => fail(state, registry, error, failures),
        async nextTurn(failures) {
          trigger = "poll";
          if (failures > 0) return backOff(failures, signal, { mostMs: MOST_RETRY_MS });
          await firstOf(
            signal,
            (inner) => due.wait(polled, inner),
            async (inner) => {
              if (adapter.waitForChange === undefined) return due.wait(polled, inner);
              await hint(state, adapter, revision, inner);
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
async function hint({ log }: State, adapter: Adapter, revision: string, inner: AbortSignal): Promise<void> {
  try {
    await adapter.waitForChange?.(revision, inner);
  } catch (error) {
    if (inner.aborted) throw error;
    log.warn({ registry: adapter.registry, error }, "the registry's change hint failed; it is polled meanwhile");
    await new Promise((_, reject) => inner.addEventListener("abort", () => reject(inner.reason), { once: true }));
  }
}

function keep(state: State, registry: string, snapshot: Snapshot): void {
  const { readings, readAtMs, metrics, log, changes } = state;
  const before = readings.get(registry);
  const { incomplete, skipped } = snapshot;
  readings.set(registry, { state: "read", snapshot });
  readAtMs.set(registry, Date.now());
  metrics.registryReads.inc({ registry, result: incomplete === undefined ? "ok" : "incomplete" });
  if (incomplete === undefined) metrics.readComplete(registry);
  for (const kind of metrics.skipKinds) metrics.registrySkipped.set({ registry, kind }, skipped?.[kind] ?? 0);
  const notes = (snapshot.notes ?? []).join("; ");
  const notesBefore = before?.state === "read" ? (before.snapshot.notes ?? []).join("; ") : "";
  if (notes !== "" && notes !== notesBefore)
    log.warn({ registry, notes }, "the registry was read, with something to note");
  const differs = before?.state === "read" ? differences(before.snapshot, snapshot) : undefined;
  if (differs?.length === 0) return;
  if (before?.state === "failed") log.info({ registry }, "the registry can be read again");
  if (incomplete !== undefined)
    log.warn({ registry, why: incomplete }, "the registry could be read only in part; nothing of it is removed");
  count(state, registry, snapshot, differs);
  changes.notify();
}

function count(
  { tallies, metrics }: State,
  registry: string,
  snapshot: Snapshot,
  differs: readonly ReadPair[] | undefined,
): void {
  const tally = tallies.get(registry);
  for (const cause of tally?.update(snapshot, differs) ?? [])
    metrics.registryFailures.inc({ registry, kind: readFailure(cause) });
  metrics.registryServices.set({ registry }, snapshot.services.length);
  metrics.registryEndpoints.set({ registry }, tally?.endpoints() ?? 0);
  for (const kind of metrics.leftOutKinds)
    metrics.registryLeftOut.set({ registry, kind }, tally?.leftOut().get(kind) ?? 0);
}

function fail({ readings, metrics, log, changes }: State, registry: string, error: unknown, failures: number): void {
  metrics.registryReads.inc({ registry, result: "failed" });
  metrics.registryFailures.inc({ registry, kind: readFailure(error) });
  const why = describeError(error);
  const before = readings.get(registry);
  readings.set(registry, { state: "failed", why });
  // Said once, not with each try; the metric counts them all.
  if (failures === 1) log.warn({ registry, why }, "the registry cannot be read; its objects stay as they are");
  if (before?.state !== "failed" || before.why !== why) changes.notify();
}
