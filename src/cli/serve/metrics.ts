import { controllerMetrics } from "../../controller/metrics.ts";
import { dnsMetrics } from "../../dns/observe/metrics.ts";
import { httpMetrics, reportMetrics } from "../../http/metrics.ts";
import { counter, gauge, type Metrics } from "../../metrics.ts";
import { usageMetrics } from "../../usage/metrics.ts";
import { targetMetrics } from "../setup/metrics.ts";

/** Make the metrics of all rooms, so that a process that answers `/metrics` shows all of them, counted or not. */
export function declareMetrics(metrics: Metrics): void {
  metrics.once(controllerMetrics);
  metrics.once(targetMetrics);
  metrics.once(dnsMetrics);
  metrics.once(usageMetrics);
  metrics.once(reportMetrics);
  metrics.once(httpMetrics);
  metrics.once(serviceMetrics);
}

/** Of a command that runs until it is stopped: use it by `metrics.once`. */
export function serviceMetrics(metrics: Metrics) {
  return {
    dnsNamesTime: gauge(metrics, {
      name: "x2istio_dns_names_timestamp_seconds",
      help: "Unix time when `x2istio dns --from` last knew that its names are those of the other x2istio; 0 before, and where names come from a target.",
    }),
    dnsNamesLeftOut: gauge(metrics, {
      name: "x2istio_dns_names_left_out_count",
      help: "Names of the other x2istio that `x2istio dns --from` does not answer, as they are in none of its zones and suffixes.",
    }),
    configRefused: gauge(metrics, {
      name: "x2istio_config_refused_timestamp_seconds",
      help: "Unix time since when the configuration file cannot be used, while an older state of it stays in use; 0 while it can.",
    }),
    configDiffers: gauge(metrics, {
      name: "x2istio_config_differs_count",
      help: "1 while the leader runs by another configuration than this replica.",
    }),
    configReloads: counter(metrics, {
      name: "x2istio_config_reloads_total",
      help: "Reloads of the configuration file by result.",
      labelNames: ["result"],
      labelSets: [{ result: "ok" }, { result: "failed" }],
    }),
  };
}
