/**
 * CPU and memory of a pass that finds everything unchanged: `node test/bench/pass.ts SERVICES ENDPOINTS`. A process of its
 * own, so that its memory is its own. Writes one JSON line: {@link PassFigures}.
 */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { adapters } from "../../adapters/adapters.ts";
import type { Config } from "../../src/config/config.ts";
import { parseConfig } from "../../src/config/parse.ts";
import type { Service } from "../../src/model/service.ts";
import type { Reading } from "../../src/plan/catalog/catalog.ts";
import { decide } from "../../src/plan/decide.ts";
import type { Decision, DecisionInput } from "../../src/plan/decision.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { decidePartly, type PartialDecision } from "../../src/plan/partial.ts";
import { fixture, fixtureConfig, REGISTRY } from "./fixture.ts";
import { memoryCluster } from "./memory-cluster.ts";
import { stagesOf } from "./stages.ts";
import { median } from "./table.ts";

export interface PassFigures {
  /** Milliseconds of CPU (all threads) of each measured pass. */
  readonly cpuMs: readonly number[];
  /** Median milliseconds of each stage. */
  readonly stageMs: Readonly<Record<string, number>>;
  /** Milliseconds of CPU of a decision after one service of all changed. */
  readonly changedMs: readonly number[];
  readonly rssMiB: number;
  readonly heapMiB: number;
}

const PASSES = 15;
const WARM_UP = 5;

if (import.meta.main) {
  const [services = 500, endpoints = 10] = process.argv.slice(2).map(Number);
  process.stdout.write(`${JSON.stringify(measure(services, endpoints))}\n`);
}

function measure(services: number, endpoints: number): PassFigures {
  const config = parseConfig(fixtureConfig(), "x2istio.yaml", { env: {}, adapters });
  const list = fixture(services, endpoints);
  const cluster = memoryCluster(config.owner);
  const memory = planMemory();
  const compute = (input: DecisionInput) => decide(config, input, memory);
  const inputOf = (current: readonly Service[]) => ({
    readings: readingsOf(current),
    standing: cluster.state.standing,
    nowMs: Date.now(),
    allowDeletes: new Set<string>(),
  });
  const first = compute(inputOf(list));
  cluster.write(
    first.plan.create.map(({ object }) => object),
    first.ledger?.writes ?? [],
  );
  const [, ...later] = Array.from({ length: WARM_UP + PASSES + 1 }, () =>
    cpuOf(() => unchanged(compute(inputOf(list)))),
  );
  const changed = Array.from({ length: PASSES }, (_, round) => withOneChange(list, round));
  return {
    cpuMs: later.slice(-PASSES),
    changedMs: changed
      .map((current) => cpuOf(() => oneUpdate(decidePartly(config, inputOf(current), new Set(), memory))))
      .slice(1),
    stageMs: stages(config, list, inputOf),
    ...processMemory(),
  };
}

function readingsOf(services: readonly Service[]): ReadonlyMap<string, Reading> {
  const reads = services.map((service) => ({ state: "ok", service }) as const);
  return new Map([[REGISTRY, { state: "read", snapshot: { registry: REGISTRY, services: reads, revision: "1" } }]]);
}

function oneUpdate(decided: PartialDecision | undefined): void {
  if (decided?.decision.plan.update.length !== 1) throw new Error("A changed service must be decided on by itself");
}

function unchanged({ plan, ledger }: Decision): void {
  const { create, update, delete: remove, hold } = plan;
  const writes = create.length + update.length + remove.length + hold.length + (ledger?.writes.length ?? 0);
  if (writes > 0) throw new Error(`A pass over unchanged input must do nothing, but plans ${writes} changes or holds`);
}

function withOneChange(list: readonly Service[], round: number): readonly Service[] {
  return list.map((service, index) =>
    index === round ? { ...service, endpoints: service.endpoints.slice(0, -1) } : service,
  );
}

function cpuOf(task: () => void): number {
  const before = process.cpuUsage();
  task();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function stages(
  config: Config,
  list: readonly Service[],
  inputOf: (current: readonly Service[]) => DecisionInput,
): Readonly<Record<string, number>> {
  const run = stagesOf(config);
  const rounds = Array.from({ length: WARM_UP + PASSES }, () => run(inputOf(list))).slice(WARM_UP);
  const names = Object.keys(rounds[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, median(rounds.map((round) => round[name] ?? 0))]));
}

function processMemory(): { readonly rssMiB: number; readonly heapMiB: number } {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { rss, heapUsed } = process.memoryUsage();
  return { rssMiB: rss / 2 ** 20, heapMiB: heapUsed / 2 ** 20 };
}
