import { counter, gauge, type Metrics } from "../metrics.ts";
import type { ReportResult } from "./reports.ts";

const RESULTS: Readonly<Record<ReportResult, true>> = {
  ready: true,
  pending: true,
  unknown: true,
  unavailable: true,
  denied: true,
  limited: true,
  invalid: true,
};

/** Counts reports of callers: use it by `metrics.once`. */
export function reportMetrics(metrics: Metrics): { readonly onResult: (result: ReportResult) => void } {
  const reports = counter(metrics, {
    name: "x2istio_demand_reports_total",
    help: "Reports of callers by result: ready, pending, unknown or unavailable; denied, limited and invalid ones were rejected before any look-up.",
    labelNames: ["result"],
    labelSets: Object.keys(RESULTS).map((result) => ({ result })),
  });
  return { onResult: (result) => reports.inc({ result }) };
}

/** Of the server itself: use it by `metrics.once`. */
export function httpMetrics(metrics: Metrics) {
  const certificateExpiry = gauge(metrics, {
    name: "x2istio_http_certificate_expiry_timestamp_seconds",
    help: "When the certificate that is in use for HTTPS expires, in seconds since the epoch; 0 without HTTPS.",
  });
  return { certificateExpiry };
}
