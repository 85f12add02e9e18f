import { counter, gauge, type Metrics } from "../metrics.ts";
import { STAGES } from "../model/claim.ts";

const USE_STATES = ["legacy", "host", "none"];

/** What usage is measured by. */
export type UsageMetrics = ReturnType<typeof usageMetrics>;

/** Make them: use it by `metrics.once`. */
export function usageMetrics(metrics: Metrics) {
  const usageServices = gauge(metrics, {
    name: "x2istio_usage_services_count",
    help: "Services by how they were asked for in the last day: by a legacy name, only by their host (which is what aliases lead to) or a report, or not at all.",
    labelNames: ["registry", "state"],
    perRegistry: USE_STATES.map((state) => ({ state })),
  });
  const stageServices = gauge(metrics, {
    name: "x2istio_stage_services_count",
    help: "Services by the stage at which they stand.",
    labelNames: ["registry", "stage"],
    perRegistry: STAGES.map((stage) => ({ stage })),
  });
  return {
    usageQuestions: counter(metrics, {
      name: "x2istio_usage_questions_total",
      help: "DNS questions for names of services, by whose service it is, by what kind of name, and by the view of who asked.",
      labelNames: ["registry", "kind", "view"],
      perRegistry: ["host", "legacy"].map((kind) => ({ kind, view: "mesh" })),
    }),
    /** Set how many services of each registry are used in which way, and at which stage they are. */
    setUse(numberOf: (of: "use" | "stage", registry: string, what: string) => number): void {
      for (const registry of metrics.registries()) {
        for (const state of USE_STATES) usageServices.set({ registry, state }, numberOf("use", registry, state));
        for (const stage of STAGES) stageServices.set({ registry, stage }, numberOf("stage", registry, stage));
      }
    },
  };
}
