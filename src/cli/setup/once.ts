import type { Config } from "../../config/config.ts";
import { loadConfig } from "../../config/load.ts";
import { describeError } from "../../errors.ts";
import type { Adapter, ReadOptions } from "../../model/adapter.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { Target } from "../../model/target.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import { decide } from "../../plan/decide.ts";
import type { Decision, DecisionInput } from "../../plan/decision.ts";
import { planMemory } from "../../plan/memory.ts";
import { standingServices } from "../../plan/standing-services.ts";
import type { CliContext } from "../context.ts";
import { closeAdapters, createAdapters } from "./adapters.ts";
import type { OpenTarget } from "./open-target.ts";
import { openTarget } from "./target.ts";

/** What a one-shot command works on: the registries read once, and the target as it stands. */
export interface Once {
  readonly config: Config;
  readonly opened: OpenTarget;
  readonly target: Target;
  readonly readings: ReadonlyMap<string, Reading>;
  readonly readAtMs: number;
  /** Decide from what stands now, or as if `standing` did. */
  readonly decide: (from?: Partial<Pick<DecisionInput, "allowDeletes" | "standing">>) => Decision;
}

/** Nothing is released. */
const NOTHING = { allowDeletes: new Set<string>() };
const READ_TIMEOUT_MS = 60_000;

/**
 * Run `use` on the registries and the target, then close both. With `watch` the target is kept in step with what stands there.
 *
 * @throws {ConfigError} For the configuration. An Error when the target cannot be read. A registry that cannot be read is no
 * error: it is a reading.
 */
export async function once<Result>(
  context: CliContext,
  use: (once: Once) => Promise<Result>,
  { watch = false }: { readonly watch?: boolean } = {},
): Promise<Result> {
  const config = await loadConfig(context.configFile, context.configContext);
  const opened = await openTarget(config, context);
  const { target } = opened;
  const closing = new AbortController();
  const signal = AbortSignal.any([context.signal, closing.signal]);
  let adapters: readonly Adapter[] = [];
  try {
    adapters = await createAdapters(config, context, opened.serviceRanges);
    context.out.progress("reading registries and target");
    // What stands comes first: what of it a registry does not list is asked for by name.
    await target.start({ watch, signal });
    const readings = await readAll(
      adapters,
      (registry) => standingServices(target.standing(), registry, config.merge),
      signal,
    );
    context.out.progress("");
    const memory = planMemory();
    return await use({
      config,
      opened,
      target,
      readings,
      readAtMs: Date.now(),
      decide: (from = {}) => {
        const input = { readings, standing: target.standing(), nowMs: target.nowMs(), ...NOTHING, ...from };
        return decide(config, input, memory);
      },
    });
  } finally {
    context.out.progress("");
    closing.abort();
    await closeAdapters(adapters, context);
    await opened.close();
  }
}

async function readAll(
  adapters: readonly Adapter[],
  standing: (registry: string) => readonly ServiceKey[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Reading>> {
  const timed = AbortSignal.any([signal, AbortSignal.timeout(READ_TIMEOUT_MS)]);
  const readings = await Promise.all(
    adapters.map((adapter) => readOne(adapter, { trigger: "poll", standing: () => standing(adapter.registry) }, timed)),
  );
  signal.throwIfAborted();
  return new Map(adapters.map(({ registry }, at) => [registry, readings[at] ?? { state: "unread" }]));
}

async function readOne(adapter: Adapter, options: ReadOptions, signal: AbortSignal): Promise<Reading> {
  try {
    return { state: "read", snapshot: await adapter.read(signal, options) };
  } catch (error) {
    return { state: "failed", why: describeError(error) };
  }
}
