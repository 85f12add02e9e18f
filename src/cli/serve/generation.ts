import type { Config } from "../../config/config.ts";
import { type Controller, startController } from "../../controller/controller.ts";
import type { Demand } from "../../controller/demand.ts";
import { relayDemand } from "../../controller/demand-relay.ts";
import type { Leadership } from "../../controller/leadership.ts";
import type { Adapter } from "../../model/adapter.ts";
import type { Target } from "../../model/target.ts";
import { configuredRegistries, hasLeft } from "../../ownership/prune.ts";
import { demandTtls } from "../../plan/known.ts";
import type { CliContext } from "../context.ts";
import { closeAdapters, createAdapters } from "../setup/adapters.ts";
import type { OpenTarget } from "../setup/open-target.ts";
import { openTarget } from "../setup/target.ts";
import { type KnownRegistries, knownRegistries } from "./known-registries.ts";
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
  /** Undefined until the target has been read for the first time. */
  known: KnownRegistries | undefined;
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
      known: undefined,
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
  const known = knownRegistries(config, standingRegistries(target));
  generation.known = known;
  await generation.names.renew(signal).catch(() => undefined);
  if (signal.aborted) return;
  const controller = startController({
    ...{ config, adapters, target, leadership, demand, signal, log, metrics },
    onDecision(decision, readings) {
      known.decided(decision, readings);
      generation.names.know(decision);
    },
    onWritten: known.written,
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

/** @throws When the registry has not left the configuration, or nothing may be written. */
export async function pruneRegistry(generation: Generation | undefined, registry: string): Promise<void> {
  const why = `Cannot prune "${registry}"`;
  if (generation === undefined) throw new Error(`${why} as the target has not been opened yet`);
  const { config, opened } = generation;
  if (!hasLeft(registry, configuredRegistries(config)))
    throw new Error(`${why} as it must have left the configuration`);
  if (config.policy.mode === "dry-run") throw new Error(`${why} as policy.mode is dry-run`);
  await opened.askToPrune(registry);
}

/** Registries of which nothing is known yet, for as long as they are waited for. */
function awaitedRegistries(generation: Generation): readonly string[] {
  const { config, controller, startedMs } = generation;
  if (controller === undefined || performance.now() - startedMs >= config.http.readyWaitMs) return [];
  return unreadRegistries(generation);
}

/** Registries that were never read and of which nothing stood. */
function unreadRegistries({ config: { registries }, controller, known }: Generation): readonly string[] {
  const readAtMs = controller?.readers.readAtMs;
  return registries.map(({ name }) => name).filter((name) => known?.has(name) !== true && readAtMs?.has(name) !== true);
}

/** Whether names are missing that none may be told not to exist. */
function isPartial({ config: { policy, registries }, known }: Generation): boolean {
  return policy.mode !== "dry-run" && registries.some(({ name }) => known?.has(name) !== true);
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
