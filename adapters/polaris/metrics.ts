import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";
import { sharedCounter } from "../metrics.ts";

const REQUESTS = {
  name: "x2istio_polaris_requests_total",
  help: "Requests to Polaris by result.",
  labelNames: ["registry", "result"],
} as const;
const CHANGES = {
  name: "x2istio_polaris_changes_total",
  help: "Changes in Polaris that were seen between two polls.",
  labelNames: ["registry"],
} as const;
const SWITCHES = {
  name: "x2istio_polaris_switches_total",
  help: "Changes from one Polaris server to another.",
  labelNames: ["registry"],
} as const;
const RESULTS: readonly RequestResult[] = [
  "ok",
  "unchanged",
  "absent",
  "timeout",
  "connection",
  "denied",
  "server",
  "answer",
];

/** What became of a request: a whole answer, nothing new, nothing of that name, or why there is no good answer. */
export type RequestResult = "ok" | "unchanged" | "absent" | ReadFailure;

/** What one registry asks of Polaris. */
export interface PolarisMetrics {
  requested(result: RequestResult): void;
  /** A change was seen between two polls. */
  changed(): void;
  /** Another server is asked from now on. */
  switched(): void;
}

/** The metrics of one registry, at 0 from the start. All Polaris registries of a process share them. */
export function polarisMetrics(metrics: Metrics, registry: string): PolarisMetrics {
  const requests = sharedCounter(metrics, REQUESTS);
  const changes = sharedCounter(metrics, CHANGES);
  const switches = sharedCounter(metrics, SWITCHES);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  changes.inc({ registry }, 0);
  switches.inc({ registry }, 0);
  return {
    requested: (result) => requests.inc({ registry, result }),
    changed: () => changes.inc({ registry }),
    switched: () => switches.inc({ registry }),
  };
}
