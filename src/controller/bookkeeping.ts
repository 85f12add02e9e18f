import type { Log } from "../log.ts";
import type { Settings } from "../model/settings.ts";
import type { Notice, WriteReport, WriteResult } from "../model/target.ts";
import type { Decision } from "../plan/decision.ts";
import { demandCounts, demandTtls } from "../plan/known.ts";
import type { PlanMemory } from "../plan/memory.ts";
import { brakeNotice, createBrakeLog } from "./brakes.ts";
import { createHoldLog, type HoldLog } from "./holds.ts";
import type { ControllerMetrics } from "./metrics.ts";
import { createRefusals, type Refusals } from "./refusals.ts";
import { createRepairs, type Repairs } from "./repairs.ts";
import { recordVipMoves } from "./vip-moves.ts";

/** What passes leave behind: what is logged, counted and told, and what later passes are judged by. */
export interface Bookkeeping {
  readonly refusals: Refusals;
  readonly repairs: Repairs;
  /** Record a decision on everything. */
  decided(decision: Decision, isLeader: boolean): void;
  /** Record what was written of a decision; tells what people are to be told of. */
  written(decision: Decision, pass: WrittenPass): readonly Notice[];
}

/** What became of a pass. */
export interface WrittenPass {
  readonly report: WriteReport;
  readonly ledgerWrites: number;
  readonly tookMs: number;
}

interface Books extends Pick<Bookkeeping, "refusals" | "repairs"> {
  readonly settings: Settings;
  readonly holds: HoldLog;
  readonly brakeLog: ReturnType<typeof createBrakeLog>;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
}

export function createBookkeeping(
  settings: Settings,
  memory: PlanMemory,
  log: Log,
  metrics: ControllerMetrics,
): Bookkeeping {
  const books: Books = {
    ...{ settings, log, metrics },
    // An object that stood just so in an earlier decision and is to be written again has been changed by someone else.
    repairs: createRepairs((object) => memory.equal.has(object), log, metrics),
    refusals: createRefusals(),
    holds: createHoldLog(log, metrics),
    brakeLog: createBrakeLog(log),
  };
  return {
    ...books,
    decided(decision, isLeader) {
      metrics.leaderState.set(isLeader ? 1 : 0);
      countDemand(books, decision);
      recordBrakes(books, decision);
      countVips(books, decision);
      countBeyond(books, decision);
    },
    written: (decision, pass) => recordWritten(books, decision, pass),
  };
}

function countDemand({ settings, metrics }: Books, decision: Decision): void {
  for (const [registry, counts] of demandCounts(decision, demandTtls(settings.registries).keys()))
    for (const state of ["demanded", "known"] as const) metrics.demandServices.set({ registry, state }, counts[state]);
}

function recordBrakes({ settings, brakeLog, metrics }: Books, { plan }: Decision): void {
  brakeLog.record(plan);
  for (const { name: registry } of settings.registries) {
    for (const kind of ["services", "endpoints"] as const) {
      const isOn = plan.brakes.some((brake) => brake.registry === registry && brake.kind === kind);
      metrics.brakeState.set({ registry, kind }, isOn ? 1 : 0);
    }
  }
}

function countVips({ settings, metrics }: Books, { ledger }: Decision): void {
  if (ledger === undefined) return;
  const lines = [...ledger.lines.values()].filter(({ owner }) => owner === settings.owner);
  const resting = lines.filter(({ restingSinceMs }) => restingSinceMs !== undefined).length;
  metrics.vipsUsed.set(lines.length - resting);
  metrics.vipsResting.set(resting);
}

function countBeyond({ settings, metrics }: Books, { beyond }: Decision): void {
  const counts = Map.groupBy(beyond.values(), ({ registry }) => registry);
  for (const { name: registry } of settings.registries)
    metrics.registryOverLimit.set({ registry }, counts.get(registry)?.length ?? 0);
}

function recordWritten(
  { holds, refusals, repairs, log, metrics }: Books,
  decision: Decision,
  { report, ledgerWrites, tookMs }: WrittenPass,
): readonly Notice[] {
  const { plan } = decision;
  holds.record(plan.hold, report, saidOnce(decision));
  refusals.record(report);
  recordVipMoves(report, log, metrics);
  metrics.passRuns.inc({ result: "ok" });
  metrics.passDuration.observe(tookMs / 1000);
  if (report.results.length > 0 || ledgerWrites > 0) {
    const counts = countOutcomes(report.results);
    const { unchanged, hold } = plan;
    log.info({ ...counts, unchanged, held: hold.length, ledgerWrites, ms: Math.round(tookMs) }, "wrote what changed");
  }
  return [...repairs.record(report), ...plan.brakes.map(brakeNotice)];
}

/** Why services of registries are held that the registries' own lines in the log say already: a list that cannot be read, or a broken file. */
function saidOnce({ catalog }: Decision): ReadonlyMap<string, string | undefined> {
  const unread = [...catalog.authorities].filter(([, { state }]) => state !== "complete");
  // Of a list that is known in part, single services may have reasons of their own.
  return new Map(unread.map(([registry, { state, why }]) => [registry, state === "incomplete" ? why : undefined]));
}

/** How many changes of each kind were written, and how many of all were and were not. */
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
