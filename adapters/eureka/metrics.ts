import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";
import { sharedCounter } from "../metrics.ts";

const REQUESTS = {
  name: "x2istio_eureka_requests_total",
  help: "Requests to Eureka by result.",
  labelNames: ["registry", "result"],
} as const;
const SWITCHES = {
  name: "x2istio_eureka_switches_total",
  help: "Changes from one Eureka server to another.",
  labelNames: ["registry"],
} as const;
const RESULTS: readonly RequestResult[] = ["ok", "timeout", "connection", "denied", "server", "answer"];

/** What became of a request: a whole answer, or why there is no good one. */
export type RequestResult = "ok" | ReadFailure;

/** What one registry asks of Eureka. */
export interface EurekaMetrics {
  requested(result: RequestResult): void;
  /** Another server is asked from now on. */
  switched(): void;
}

/** The metrics of one registry, at 0 from the start. All Eureka registries of a process share them. */
export function eurekaMetrics(metrics: Metrics, registry: string): EurekaMetrics {
  const requests = sharedCounter(metrics, REQUESTS);
  const switches = sharedCounter(metrics, SWITCHES);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  switches.inc({ registry }, 0);
  return {
    requested: (result) => requests.inc({ registry, result }),
    switched: () => switches.inc({ registry }),
  };
}
