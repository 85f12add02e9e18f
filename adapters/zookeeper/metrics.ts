import type { ReadFailure } from "../../src/errors.ts";
import type { Metrics } from "../../src/metrics.ts";
import { sharedCounter } from "../metrics.ts";

const REQUESTS = {
  name: "x2istio_zookeeper_requests_total",
  help: "Requests to ZooKeeper by result.",
  labelNames: ["registry", "result"],
} as const;
const CONNECTIONS = {
  name: "x2istio_zookeeper_connections_total",
  help: "Connections to ZooKeeper: in a new session, in the one of before, in a new one as that of before was over, or none.",
  labelNames: ["registry", "result"],
} as const;
const EVENTS = {
  name: "x2istio_zookeeper_events_total",
  help: "Changes of which ZooKeeper told, also those that say nothing of a service.",
  labelNames: ["registry"],
} as const;
const RESULTS: readonly RequestResult[] = ["ok", "timeout", "connection", "denied", "server", "answer"];
const CONNECTED: readonly ConnectionResult[] = ["new", "resumed", "expired", "failed"];

/** What became of a request: an answer, also that there is no such node, or why there is no good one. */
export type RequestResult = "ok" | ReadFailure;
export type ConnectionResult = "new" | "resumed" | "expired" | "failed";

/** What one registry asks of ZooKeeper. */
export interface ZooKeeperMetrics {
  requested(result: RequestResult): void;
  connected(result: ConnectionResult): void;
  told(): void;
}

/** The metrics of one registry, at 0 from the start. All ZooKeeper registries of a process share them. */
export function zooKeeperMetrics(metrics: Metrics, registry: string): ZooKeeperMetrics {
  const requests = sharedCounter(metrics, REQUESTS);
  const connections = sharedCounter(metrics, CONNECTIONS);
  const events = sharedCounter(metrics, EVENTS);
  for (const result of RESULTS) requests.inc({ registry, result }, 0);
  for (const result of CONNECTED) connections.inc({ registry, result }, 0);
  events.inc({ registry }, 0);
  return {
    requested: (result) => requests.inc({ registry, result }),
    connected: (result) => connections.inc({ registry, result }),
    told: () => events.inc({ registry }),
  };
}
