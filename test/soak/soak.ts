/**
 * A random history of registries, faults and processes on the product's own controller, target, Lease and name table, in time
 * that passes only when it is told to: `npx node test/soak/soak.ts SEED [STEPS]` runs one and says what went wrong.
 */
import { createLog, type Log } from "../../src/log.ts";
import { createMetrics, type Metrics } from "../../src/metrics.ts";
import { calmDown } from "./calm.ts";
import { EFFECTS } from "./effects.ts";
import { type Installation, installationOf } from "./installations.ts";
import { checkNames } from "./names.ts";
import { historyOf, type Step } from "./steps.ts";
import type { Mutation, World } from "./types.ts";
import type { Violation } from "./witness.ts";
import { createWorld } from "./world.ts";

/** After so many steps all faults end, and everything must come right. */
const EPISODE = 25;

/** What one history came to. */
export interface Outcome {
  readonly steps: number;
  readonly violation: Violation | undefined;
  readonly effects: World["effects"];
}

/** What all runs share, as it costs time to make. */
export interface Tools {
  readonly log: Log;
  readonly metrics: Metrics;
}

export function createTools(level: "silent" | "info" = "silent"): Tools {
  Error.stackTraceLimit = 0; // thousands of faults a second are made here
  return { log: createLog({ level, pretty: level === "info" }), metrics: createMetrics() };
}

/** What is lived with: by default the product as it is, in the installation that the seed determines. */
export interface Variant {
  readonly mutation?: Mutation;
  readonly installation?: Installation;
}

/** Live through `history`; stops at the first thing that must not happen. */
export async function live(
  seed: number,
  history: readonly Step[],
  { log, metrics }: Tools,
  { mutation = {}, installation = installationOf(seed) }: Variant = {},
): Promise<Outcome> {
  const { settings, caseless = [] } = installation;
  const world = createWorld({ seed, settings, caseless, mutation, log, metrics });
  let steps = 0;
  try {
    await world.clock.advance(5000);
    for (const step of history) {
      await world.happen(step);
      steps++;
      await checkNames(world);
      if (world.witness.violation() === undefined && steps % EPISODE === 0) await calmDown(world);
      if (world.witness.violation() !== undefined) break;
    }
    if (world.witness.violation() === undefined) await calmDown(world);
    return { steps, violation: world.witness.violation(), effects: world.effects };
  } finally {
    world.close();
  }
}

/** The shortest history that is found from `history` by leaving steps out and still breaks `invariant`. */
export async function shorten(
  seed: number,
  history: readonly Step[],
  invariant: Violation["invariant"],
  tools: Tools,
  { tries = 60, ...variant }: Variant & { readonly tries?: number } = {},
): Promise<readonly Step[]> {
  let shortest = history;
  let left = tries;
  for (let size = Math.ceil(history.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = shortest.length - size; from > -size && left > 0; from -= size, left--) {
      const fewer = [...shortest.slice(0, Math.max(0, from)), ...shortest.slice(from + size)];
      const { violation, steps } = await live(seed, fewer, tools, variant);
      if (violation?.invariant === invariant) shortest = fewer.slice(0, steps);
    }
  }
  return shortest;
}

if (import.meta.main) {
  const [seed = 1, count = 200, isLoud = 0] = process.argv.slice(2).map(Number);
  const tools = createTools(isLoud > 0 ? "info" : "silent");
  const startedMs = performance.now();
  const history = historyOf(seed, count, installationOf(seed).kinds);
  const { steps, violation, effects } = await live(seed, history, tools);
  const ms = Math.round(performance.now() - startedMs);
  process.stdout.write(
    `seed ${seed}: ${steps} steps in ${ms} ms: ${violation === undefined ? "well" : `(${violation.invariant}) ${violation.message}`}\n`,
  );
  for (const effect of EFFECTS) process.stdout.write(`${effects.get(effect) ?? 0} times ${effect}\n`);
  if (violation !== undefined && isLoud === 0) {
    const short = await shorten(seed, history.slice(0, steps), violation.invariant, tools);
    const again = await live(seed, short, tools);
    process.stdout.write(
      `${short.length} steps do: ${again.violation?.message}\n${short.map((step) => JSON.stringify(step)).join("\n")}\n`,
    );
  }
  process.exitCode = violation === undefined ? 0 : 1;
}
