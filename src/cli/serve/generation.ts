import type { Config } from "../../config/config.ts";
import { type Controller, startController } from "../../controller/controller.ts";
import type { Demand } from "../../controller/demand.ts";
import { relayDemand } from "../../controller/demand-relay.ts";
import type { Leadership } from "../../controller/leadership.ts";
import type { Adapter } from "../../model/adapter.ts";
import type { Target } from "../../model/target.ts";
import { demandTtls } from "../../plan/known.ts";
import type { CliContext } from "../context.ts";
import { closeAdapters, createAdapters } from "../setup/adapters.ts";
import type { OpenTarget } from "../setup/open-target.ts";
import { openTarget } from "../setup/target.ts";
import { type LiveNames, liveNames } from "./live-names.ts";
import { startTarget } from "./start-target.ts";

/** What runs for one configuration. */
export interface Generation {
  readonly config: Config;
  readonly adapters: readonly Adapter[];
  readonly opened: OpenTarget;
  readonly stop: AbortController;
  readonly leadership: Leadership;
  /** Undefined until the target has been read for the first time. */
  controller: Controller | undefined;
  readonly names: LiveNames;
  /** Nothing of ours stood at the start, and what the first pass wrote is not in the table yet. */
  isFresh: boolean;
  /** By performance.now(). */
  readonly startedMs: number;
  /** Resolves when all of it has ended. */
  done: Promise<void>;
}

/**
 * Start all that runs for a configuration but the servers.
 *
 * @param onTable called when its names may have another table
 * @throws When the target is another process's, or an adapter cannot be made.
 */
export async function startGeneration(
  config: Config,
  context: CliContext,
  demand: Demand,
  onTable: () => void,
): Promise<Generation> {
  context.metrics.setRegistries(config.registries.map(({ name }) => name));
  const opened = await openTarget(config, context);
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  let adapters: readonly Adapter[] = [];
  try {
    adapters = await createAdapters(config, context, opened.serviceRanges);
    const leadership = await opened.elect(signal);
    const generation: Generation = {
      config,
      adapters,
      opened,
      stop,
      leadership,
      controller: undefined,
      names: liveNames(opened.target, config, onTable, () => isPartial(generation)),
      isFresh: false,
      startedMs: performance.now(),
      done: Promise.resolve(),
    };
    generation.done = live(generation, demand, signal, context);
    return generation;
  } catch (error) {
    stop.abort();
    await closeAdapters(adapters, context);
    await opened.close();
    throw error;
  }
}

/** Stop it, and give back the Lease or the lock. */
export async function stopGeneration(generation: Generation | undefined, context: CliContext): Promise<void> {
  if (generation === undefined) return;
  generation.stop.abort();
  await generation.done;
  await closeAdapters(generation.adapters, context);
  await generation.opened.close();
}

/** Read the target's first state, then keep it in step and its names in the table. */
async function live(generation: Generation, demand: Demand, signal: AbortSignal, context: CliContext): Promise<void> {
  const { config, adapters, opened, leadership } = generation;
  const { target } = opened;
  const { log, metrics } = context;
  if (!(await startTarget(target, signal, log))) return;
  generation.isFresh = target.standing().objects.size === 0;
  await generation.names.renew(signal).catch(() => undefined);
  if (signal.aborted) return;
  const onDecision = generation.names.know;
  const controller = startController({
    ...{ config, adapters, target, leadership, demand, onDecision, signal, log, metrics },
  });
  generation.controller = controller;
  const ttlMs = demandTtls(config.registries);
  const channel = ttlMs.size === 0 || config.policy.mode === "dry-run" ? undefined : opened.demand;
  const relayed =
    channel !== undefined &&
    relayDemand({ channel, demand, leadership, latest: controller.latest, ttlMs, nowMs: target.nowMs, signal, log });
  await generation.names.follow(signal, log);
  await Promise.all([controller.done, relayed]);
}

/** @throws When there is no such registry, or nothing may be written. */
export async function releaseBrake(generation: Generation | undefined, registry: string): Promise<void> {
  const why = `Cannot release the brake of "${registry}"`;
  if (generation === undefined) throw new Error(`${why} as the target has not been opened yet`);
  const { config, opened } = generation;
  if (!config.registries.some(({ name }) => name === registry))
    throw new Error(`${why} as it must be a configured registry`);
  if (config.policy.mode === "dry-run") throw new Error(`${why} as policy.mode is dry-run`);
  await opened.markAllowDeletes([registry]);
}

/** Registries of which nothing is known yet, for as long as they are waited for. */
function awaitedRegistries(generation: Generation): readonly string[] {
  const { config, controller, startedMs } = generation;
  if (controller === undefined || performance.now() - startedMs >= config.http.readyWaitMs) return [];
  return unreadRegistries(generation);
}

/** Registries that were never read and of which nothing stands: nobody knows their names yet, so that none may be denied. */
function unreadRegistries({ config: { registries, merge }, controller, opened }: Generation): readonly string[] {
  const readAtMs = controller?.readers.readAtMs;
  const unread = registries.map(({ name }) => name).filter((name) => readAtMs?.has(name) !== true);
  if (unread.length === 0) return [];
  const standing = standingRegistries(opened.target);
  return unread.filter((name) => !standing.has(merge.includes(name) ? (merge[0] ?? name) : name));
}

/** Whether names are missing that none may be told not to exist: of a registry that was never read, or of which nothing could be written yet. */
function isPartial(generation: Generation): boolean {
  const { config, controller, opened } = generation;
  if (config.policy.mode === "dry-run") return false;
  if (unreadRegistries(generation).length > 0) return true;
  const creates = controller?.latest()?.plan.create ?? [];
  if (controller !== undefined && creates.length === 0)
    return !controller.hasPassed() && opened.target.standing().objects.size === 0;
  const standing = standingRegistries(opened.target);
  return creates.some(({ object }) => !standing.has(object.registry));
}

/** Registries of which something of ours stands. */
function standingRegistries(target: Target): ReadonlySet<string> {
  return new Set([...target.standing().objects.values()].map(({ registry }) => registry));
}

/** Whether its names can be answered; why not, in sentences without a full stop. */
export function readiness(
  generation: Generation | undefined,
  signal: AbortSignal,
): { readonly ready: boolean; readonly reasons: readonly string[] } {
  if (signal.aborted) return { ready: false, reasons: ["the process is stopping"] };
  const table = generation?.names.table();
  if (generation === undefined || table === undefined)
    return { ready: false, reasons: ["the target has not been read yet"] };
  const { names, opened, controller, isFresh } = generation;
  if (isFresh && controller?.hasPassed() !== true) {
    return { ready: false, reasons: ["the target was empty at the start and the first pass has not ended"] };
  }
  const rows = [...table.names.values()].filter(({ waits }) => waits !== true);
  const isUnsettled = rows.length > 0 && rows.every(({ settledAtMs }) => settledAtMs > Date.now());
  const isBehind = isFresh && names.version() !== opened.target.version();
  if (isUnsettled || isBehind) return { ready: false, reasons: ["the names have not settled yet"] };
  const awaited = isFresh ? awaitedRegistries(generation) : [];
  if (awaited.length > 0)
    return {
      ready: false,
      reasons: awaited.map((name) => `registry ${name} has not been read yet, and nothing of it stands`),
    };
  generation.isFresh = false;
  return { ready: true, reasons: [] };
}
