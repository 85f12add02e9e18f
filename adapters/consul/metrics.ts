import { Counter, Gauge } from "prom-client";
import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";

const REQUESTS = "x2istio_consul_requests_total";
const WAKES = "x2istio_consul_wakes_total";
const WATCHES = "x2istio_consul_watches_count";
const RESULTS: readonly RequestResult[] = ["ok", "timeout", "connection", "denied", "server", "answer"];

/** What became of a request: its answer was good, or why not. */
export type RequestResult = "ok" | ReadFailure;

/** What one registry asks of Consul. */
export interface ConsulMetrics {
  requested(result: RequestResult): void;
  /** A blocking query came back because something had changed. */
  woke(): void;
  /** Blocking queries that wait now. */
  watches(change: 1 | -1): void;
}

/** The metrics of one registry, at 0 from the start. All Consul registries of a process share them. */
export function consulMetrics({ registry: register }: Metrics, registry: string): ConsulMetrics {
  const requests = (register.getSingleMetric(REQUESTS) as Counter | undefined) ?? newRequests(register);
  const wakes = (register.getSingleMetric(WAKES) as Counter | undefined) ?? newWakes(register);
  const watches = (register.getSingleMetric(WATCHES) as Gauge | undefined) ?? newWatches(register);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  wakes.inc({ registry }, 0);
  watches.set({ registry }, 0);
  return {
    requested: (result) => requests.inc({ registry, result }),
    woke: () => wakes.inc({ registry }),
    watches: (change) => watches.inc({ registry }, change),
  };
}

function newRequests(register: Metrics["registry"]) {
  return new Counter({
    name: REQUESTS,
    help: "Requests to Consul by result.",
    labelNames: ["registry", "result"],
    registers: [register],
  });
}

function newWakes(register: Metrics["registry"]) {
  return new Counter({
    name: WAKES,
    help: "Blocking queries to Consul that came back with a change.",
    labelNames: ["registry"],
    registers: [register],
  });
}

function newWatches(register: Metrics["registry"]) {
  return new Gauge({
    name: WATCHES,
    help: "Blocking queries to Consul that wait now.",
    labelNames: ["registry"],
    registers: [register],
  });
}
