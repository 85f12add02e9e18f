import { counter, histogram, type Metrics } from "../../metrics.ts";
import type { DnsHooks } from "./hooks.ts";

const LABEL_SETS = ["udp", "tcp"].flatMap((transport) => [
  ...["table", "forward", "cache", "stale"].flatMap((source) =>
    ["NOERROR", "NXDOMAIN", "SERVFAIL"].map((rcode) => ({ transport, rcode, source, type: "A", view: "mesh" })),
  ),
  ...["FORMERR", "NOTIMP", "REFUSED"].map((rcode) => ({
    ...{ transport, rcode, source: "refused", type: "A", view: "mesh" },
  })),
]);

/** Hooks that count what a DNS server answers: use it by `metrics.once`. */
export function dnsMetrics(
  metrics: Metrics,
): Required<Pick<DnsHooks, "onAnswer" | "onDuration" | "onHeld" | "onDropped">> {
  const answers = counter(metrics, {
    name: "x2istio_dns_answers_total",
    help: "DNS answers by source: table, cache or forward, stale (from the cache, as no upstream answered), refused; limited and dropped by the rate limit.",
    labelNames: ["transport", "rcode", "type", "source", "view"],
    labelSets: LABEL_SETS,
  });
  const duration = histogram(metrics, {
    name: "x2istio_dns_answer_duration_seconds",
    help: "Time from a question by UDP to its answer: ready-made, made at once (each 64th of both), or waited for (all).",
    labelNames: ["path"],
    labelSets: ["ready", "made", "waited"].map((path) => ({ path })),
    buckets: [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2, 5],
  });
  const held = counter(metrics, {
    name: "x2istio_dns_held_total",
    help: "DNS questions that were held until a name could be answered, by result: answered, or failed after 2 s.",
    labelNames: ["result"],
    labelSets: [{ result: "answered" }, { result: "failed" }],
  });
  const dropped = counter(metrics, {
    name: "x2istio_dns_dropped_total",
    help: "What clients that have most of it lost to others: questions to upstreams (forward), questions held for a VIP (hold), TCP connections (connection).",
    labelNames: ["kind"],
    labelSets: ["forward", "hold", "connection"].map((kind) => ({ kind })),
  });
  return {
    onAnswer: (event, count) => answers.inc({ ...event }, count),
    onDuration: (path, seconds) => duration.observe({ path }, seconds),
    onHeld: (result, count) => held.inc({ result }, count),
    onDropped: (kind, count) => dropped.inc({ kind }, count),
  };
}
