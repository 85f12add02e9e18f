import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";
import { sharedCounter } from "../metrics.ts";

const REQUESTS = {
  name: "x2istio_nacos_requests_total",
  help: "Requests to Nacos by result.",
  labelNames: ["registry", "result"],
} as const;
const PUSHES = {
  name: "x2istio_nacos_pushes_total",
  help: "What Nacos pushed: taken, older than what is known, of a service that nobody asked for, or not to be understood.",
  labelNames: ["registry", "result"],
} as const;
const CONNECTIONS = {
  name: "x2istio_nacos_connections_total",
  help: "Connections to Nacos that were made.",
  labelNames: ["registry"],
} as const;
const RESULTS: readonly RequestResult[] = ["ok", "timeout", "connection", "denied", "server", "answer"];
const PUSH_RESULTS: readonly PushResult[] = ["taken", "old", "unknown", "bad"];

/** What became of a request: a whole answer, or why there is no good one. */
export type RequestResult = "ok" | ReadFailure;
/** What became of a push. */
export type PushResult = "taken" | "old" | "unknown" | "bad";

/** What one registry has to do with Nacos. */
export interface NacosMetrics {
  requested(result: RequestResult): void;
  pushed(result: PushResult): void;
  connected(): void;
}

/** The metrics of one registry, at 0 from the start. All Nacos registries of a process share them. */
export function nacosMetrics(metrics: Metrics, registry: string): NacosMetrics {
  const requests = sharedCounter(metrics, REQUESTS);
  const pushes = sharedCounter(metrics, PUSHES);
  const connections = sharedCounter(metrics, CONNECTIONS);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  for (const result of PUSH_RESULTS) pushes.inc({ registry, result }, 0);
  connections.inc({ registry }, 0);
  return {
    requested: (result) => requests.inc({ registry, result }),
    pushed: (result) => pushes.inc({ registry, result }),
    connected: () => connections.inc({ registry }),
  };
}
