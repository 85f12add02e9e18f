import { Counter, Gauge } from "prom-client";
import type { Metrics } from "../src/metrics.ts";

/** A metric of one kind of registry: all registries of that kind in a process share it. */
export interface SharedMetric<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
}

/** The counter of this name, which is registered if it is not yet. */
export function sharedCounter<Label extends string>(
  { registry }: Metrics,
  { name, help, labelNames }: SharedMetric<Label>,
): Counter<Label> {
  const known = registry.getSingleMetric(name) as Counter<Label> | undefined;
  return known ?? new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
}

/** The gauge of this name, which is registered if it is not yet. */
export function sharedGauge<Label extends string>(
  { registry }: Metrics,
  { name, help, labelNames }: SharedMetric<Label>,
): Gauge<Label> {
  const known = registry.getSingleMetric(name) as Gauge<Label> | undefined;
  return known ?? new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
}
