import {
  Counter,
  type CounterConfiguration,
  collectDefaultMetrics,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  Registry,
} from "prom-client";

/**
 * The metrics of one process: those of Node (memory, CPU, event loop lag), and those that its rooms count, each in a file
 * `metrics.ts` of the room. A metric is called `x2istio_<subsystem>_<name>_<unit>`, and every label set that can be foreseen
 * stands at 0 from the start.
 */
export interface Metrics {
  readonly registry: Registry;
  /** What `make` makes of these metrics, which is made once: whoever counts the same, counts together. */
  once<Made>(make: (metrics: Metrics) => Made): Made;
  /** Names of the registries that are configured now. */
  registries(): readonly string[];
  /** The label sets of registries that are new are set to 0, those of registries that have left are dropped. */
  setRegistries(names: readonly string[]): void;
  /** Calls `watcher` for each registry that is configured now, or comes or leaves later. */
  watchRegistries(watcher: RegistryWatcher): void;
}

/** Told of the registries that are configured. */
export interface RegistryWatcher {
  added(registry: string): void;
  removed(registry: string): void;
}

type Labels<Label extends string> = Readonly<Partial<Record<Label, string>>>;

/** What stands at 0 from the start. */
export interface Foreseen<Label extends string> {
  readonly labelSets?: readonly Labels<Label>[] | undefined;
  /** For each configured registry, beside the label `registry`; `[{}]` when there is no other. */
  readonly perRegistry?: readonly Labels<Exclude<Label, "registry">>[] | undefined;
}

/** Make the metrics of a process in a registry of their own. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const made = new Map<unknown, unknown>();
  const watchers: RegistryWatcher[] = [];
  let known: readonly string[] = [];
  const metrics: Metrics = {
    registry,
    once<Made>(make: (metrics: Metrics) => Made): Made {
      if (!made.has(make)) made.set(make, make(metrics));
      return made.get(make) as Made;
    },
    registries: () => known,
    setRegistries(names) {
      const left = known.filter((name) => !names.includes(name));
      const come = names.filter((name) => !known.includes(name));
      known = [...names];
      for (const name of left) for (const watcher of watchers) watcher.removed(name);
      for (const name of come) for (const watcher of watchers) watcher.added(name);
    },
    watchRegistries(watcher) {
      watchers.push(watcher);
      for (const name of known) watcher.added(name);
    },
  };
  return metrics;
}

/** A counter of these metrics. */
export function counter<Label extends string = never>(
  metrics: Metrics,
  { labelSets, perRegistry, ...options }: CounterConfiguration<Label> & Foreseen<Label>,
): Counter<Label> {
  const made = new Counter<Label>({ ...options, registers: [metrics.registry] });
  foresee(metrics, made, { labelSets, perRegistry }, (labels) => made.inc(labels, 0));
  return made;
}

/** A gauge of these metrics. */
export function gauge<Label extends string = never>(
  metrics: Metrics,
  { labelSets, perRegistry, ...options }: GaugeConfiguration<Label> & Foreseen<Label>,
): Gauge<Label> {
  const made = new Gauge<Label>({ ...options, registers: [metrics.registry] });
  foresee(metrics, made, { labelSets, perRegistry }, (labels) => made.set(labels, 0));
  return made;
}

/** A histogram of these metrics. */
export function histogram<Label extends string = never>(
  metrics: Metrics,
  { labelSets, perRegistry, ...options }: HistogramConfiguration<Label> & Foreseen<Label>,
): Histogram<Label> {
  const made = new Histogram<Label>({ ...options, registers: [metrics.registry] });
  foresee(metrics, made, { labelSets, perRegistry }, (labels) => made.zero(labels));
  return made;
}

function foresee<Label extends string>(
  metrics: Metrics,
  metric: { remove(labels: Labels<Label>): void },
  { labelSets = [], perRegistry = [] }: Foreseen<Label>,
  zero: (labels: Labels<Label>) => void,
): void {
  for (const labels of labelSets) zero(labels);
  if (perRegistry.length === 0) return;
  const labelsOf = (registry: string) => perRegistry.map((labels) => ({ registry, ...labels }) as Labels<Label>);
  metrics.watchRegistries({
    added(registry) {
      for (const labels of labelsOf(registry)) zero(labels);
    },
    removed(registry) {
      for (const labels of labelsOf(registry)) metric.remove(labels);
    },
  });
}
