import type { Metrics } from "../../src/metrics.ts";
import { sharedCounter, sharedGauge } from "../metrics.ts";

const PROBES = {
  name: "x2istio_static_probes_total",
  help: "Health checks of endpoints in static files, by result.",
  labelNames: ["registry", "result"],
} as const;
const DOWN = {
  name: "x2istio_static_down_count",
  help: "Endpoints in static files that fail their health check now.",
  labelNames: ["registry"],
} as const;

/** Counts of health checks of one registry. */
export interface CheckMetrics {
  probed(passed: boolean): void;
  /** Endpoints that fail their check now. */
  down(count: number): void;
}

/** The check metrics of one registry, at 0 from the start. All static registries of a process share the two metrics. */
export function checkMetrics(metrics: Metrics, registry: string): CheckMetrics {
  const probes = sharedCounter(metrics, PROBES);
  const down = sharedGauge(metrics, DOWN);
  for (const result of ["passed", "failed"]) probes.inc({ registry, result }, 0);
  down.set({ registry }, 0);
  return {
    probed: (passed) => probes.inc({ registry, result: passed ? "passed" : "failed" }),
    down: (count) => down.set({ registry }, count),
  };
}
