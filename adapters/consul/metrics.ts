import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";
import { sharedCounter, sharedGauge } from "../metrics.ts";

const REQUESTS = {
  name: "x2istio_consul_requests_total",
  help: "Requests to Consul by result.",
  labelNames: ["registry", "result"],
} as const;
const WAKES = {
  name: "x2istio_consul_wakes_total",
  help: "Blocking queries to Consul that came back with a change.",
  labelNames: ["registry"],
} as const;
const WATCHES = {
  name: "x2istio_consul_watches_count",
  help: "Blocking queries to Consul that are waiting now.",
  labelNames: ["registry"],
} as const;
const RESULTS: readonly RequestResult[] = ["ok", "timeout", "connection", "denied", "server", "answer"];

/** What became of a request: its answer was good, or why not. */
export type RequestResult = "ok" | ReadFailure;

/** What one registry asks of Consul. */
export interface ConsulMetrics {
  requested(result: RequestResult, count?: number): void;
  /** A blocking query came back because something had changed. */
  woke(): void;
  /** Blocking queries that wait now. */
  watches(change: 1 | -1): void;
}

/** The metrics of one registry, at 0 from the start. All Consul registries of a process share them. */
export function consulMetrics(metrics: Metrics, registry: string): ConsulMetrics {
  const requests = sharedCounter(metrics, REQUESTS);
  const wakes = sharedCounter(metrics, WAKES);
  const watches = sharedGauge(metrics, WATCHES);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  wakes.inc({ registry }, 0);
  watches.set({ registry }, 0);
  return {
    requested: (result, count = 1) => requests.inc({ registry, result }, count),
    woke: () => wakes.inc({ registry }),
    watches: (change) => watches.inc({ registry }, change),
  };
}
