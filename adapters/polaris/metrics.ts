import { Counter } from "prom-client";
import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";

const REQUESTS = "x2istio_polaris_requests_total";
const CHANGES = "x2istio_polaris_changes_total";
const SWITCHES = "x2istio_polaris_switches_total";
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
export function polarisMetrics({ registry: register }: Metrics, registry: string): PolarisMetrics {
  const requests = counter(register, REQUESTS, "Requests to Polaris by result.", ["registry", "result"]);
  const changes = counter(register, CHANGES, "Changes in Polaris that were seen between two polls.", ["registry"]);
  const switches = counter(register, SWITCHES, "Changes from one Polaris server to another.", ["registry"]);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  changes.inc({ registry }, 0);
  switches.inc({ registry }, 0);
  return {
    requested: (result) => requests.inc({ registry, result }),
    changed: () => changes.inc({ registry }),
    switched: () => switches.inc({ registry }),
  };
}

function counter(register: Metrics["registry"], name: string, help: string, labelNames: string[]): Counter {
  const known = register.getSingleMetric(name) as Counter | undefined;
  return known ?? new Counter({ name, help, labelNames, registers: [register] });
}
