import { counter, type Metrics } from "../../metrics.ts";

const OPERATIONS = ["create", "update", "delete", "ledger", "event", "lease", "demand"];

/** Counts write requests to a target: use it by `metrics.once`. */
export function targetMetrics(metrics: Metrics): {
  readonly onWrite: (operation: string, result: "ok" | "failed") => void;
} {
  const writes = counter(metrics, {
    name: "x2istio_target_writes_total",
    help: "Write requests to the target by result.",
    labelNames: ["operation", "result"],
    labelSets: ["ok", "failed"].flatMap((result) => OPERATIONS.map((operation) => ({ operation, result }))),
  });
  return { onWrite: (operation, result) => writes.inc({ operation, result }) };
}
