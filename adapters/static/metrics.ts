import { Counter, Gauge } from "prom-client";
import type { Metrics } from "../../src/metrics.ts";

const PROBES = "x2istio_static_probes_total";
const DOWN = "x2istio_static_down_count";

/** Counts of health checks of one registry. */
export interface CheckMetrics {
  probed(passed: boolean): void;
  /** Endpoints that fail their check now. */
  down(count: number): void;
}

/** The check metrics of one registry, at 0 from the start. All static registries of a process share the two metrics. */
export function checkMetrics({ registry: register }: Metrics, registry: string): CheckMetrics {
  const probes = (register.getSingleMetric(PROBES) as Counter | undefined) ?? newProbes(register);
  const down = (register.getSingleMetric(DOWN) as Gauge | undefined) ?? newDown(register);
  for (const result of ["passed", "failed"]) probes.inc({ registry, result }, 0);
  down.set({ registry }, 0);
  return {
    probed: (passed) => probes.inc({ registry, result: passed ? "passed" : "failed" }),
    down: (count) => down.set({ registry }, count),
  };
}

function newProbes(register: Metrics["registry"]) {
  return new Counter({
    name: PROBES,
    help: "Health checks of endpoints in static files, by result.",
    labelNames: ["registry", "result"],
    registers: [register],
  });
}

function newDown(register: Metrics["registry"]) {
  return new Gauge({
    name: DOWN,
    help: "Endpoints in static files that fail their health check now.",
    labelNames: ["registry"],
    registers: [register],
  });
}
