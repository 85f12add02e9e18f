import type { ReadFailure } from "../errors.ts";
import { counter, gauge, histogram, type Metrics } from "../metrics.ts";
import type { SkipKind } from "../model/adapter.ts";
import { MESH_KINDS } from "../model/objects.ts";
import type { HoldReason } from "../model/plan.ts";
import type { LeftOutKind } from "../model/service.ts";
import type { WriteOutcome } from "../model/target.ts";

const HOLD_REASONS: Readonly<Record<HoldReason, true>> = {
  address: true,
  brake: true,
  foreign: true,
  gateway: true,
  invalid: true,
  kind: true,
  limit: true,
  name: true,
  namespace: true,
  orphan: true,
  refused: true,
  service: true,
  stage: true,
  unread: true,
  terminating: true,
  "upsert-only": true,
  unknown: true,
  yielded: true,
};
const FAILURES: Readonly<Record<ReadFailure | "other", true>> = {
  timeout: true,
  connection: true,
  denied: true,
  server: true,
  answer: true,
  other: true,
};
const LEFT_OUT: Readonly<Record<LeftOutKind, true>> = {
  address: true,
  disabled: true,
  duplicate: true,
  health: true,
  filter: true,
  kubernetes: true,
  mesh: true,
  name: true,
  port: true,
  weight: true,
};
const SKIPPED: Readonly<Record<SkipKind, true>> = { filter: true, infrastructure: true, kubernetes: true, name: true };
const OUTCOMES: readonly WriteOutcome[] = ["written", "conflict", "foreign", "failed", "skipped"];
const CHANGES = ["create", "update", "delete"];
const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60];

/** What passes from registries to the target are measured by. */
export type ControllerMetrics = ReturnType<typeof controllerMetrics>;

/** Make them: use it by `metrics.once`. */
export function controllerMetrics(metrics: Metrics) {
  return { ...readMetrics(metrics), ...listMetrics(metrics), ...passMetrics(metrics), ...stateMetrics(metrics) };
}

/** Of reads of a registry. */
function readMetrics(metrics: Metrics) {
  /** By registry, when its last complete read ended, or since when it is known; by the monotonic clock. */
  const completeMs = new Map<string, number>();
  metrics.watchRegistries({
    added: (registry) => completeMs.set(registry, performance.now()),
    removed: (registry) => completeMs.delete(registry),
  });
  const registryLastSuccess = gauge(metrics, {
    name: "x2istio_registry_last_success_timestamp_seconds",
    help: "Unix time of the last complete read; 0 before the first.",
    labelNames: ["registry"],
    perRegistry: [{}],
  });
  return {
    registryReads: counter(metrics, {
      name: "x2istio_registry_reads_total",
      help: "Reads of a registry by result.",
      labelNames: ["registry", "result"],
      perRegistry: ["ok", "failed", "incomplete"].map((result) => ({ result })),
    }),
    registryReadDuration: histogram(metrics, {
      name: "x2istio_registry_read_duration_seconds",
      help: "Time that reading a whole registry took.",
      labelNames: ["registry"],
      buckets: DURATION_BUCKETS,
      perRegistry: [{}],
    }),
    registryLastSuccess,
    registryStaleness: gauge(metrics, {
      name: "x2istio_registry_staleness_seconds",
      help: "Time since the last complete read of a registry, or since its configuration was loaded.",
      labelNames: ["registry"],
      perRegistry: [{}],
      collect() {
        for (const [name, ms] of completeMs) this.set({ registry: name }, (performance.now() - ms) / 1000);
      },
    }),
    registryFailures: counter(metrics, {
      name: "x2istio_registry_failures_total",
      help: "Failed reads by kind: of a whole registry each time, of one service when it begins to fail.",
      labelNames: ["registry", "kind"],
      perRegistry: Object.keys(FAILURES).map((kind) => ({ kind })),
    }),
    /** A registry has been read completely. */
    readComplete(registry: string): void {
      registryLastSuccess.set({ registry }, Date.now() / 1000);
      if (completeMs.has(registry)) completeMs.set(registry, performance.now());
    },
  };
}

/** Of what registries list. */
function listMetrics(metrics: Metrics) {
  const leftOutKinds = Object.keys(LEFT_OUT) as LeftOutKind[];
  const skipKinds = Object.keys(SKIPPED) as SkipKind[];
  return {
    leftOutKinds,
    skipKinds,
    registryServices: gauge(metrics, {
      name: "x2istio_registry_services_count",
      help: "Services that a registry lists.",
      labelNames: ["registry"],
      perRegistry: [{}],
    }),
    registryEndpoints: gauge(metrics, {
      name: "x2istio_registry_endpoints_count",
      help: "Usable endpoints that a registry lists.",
      labelNames: ["registry"],
      perRegistry: [{}],
    }),
    registryLeftOut: gauge(metrics, {
      name: "x2istio_registry_left_out_count",
      help: "Endpoints that a registry lists and that are not used, by reason.",
      labelNames: ["registry", "kind"],
      perRegistry: leftOutKinds.map((kind) => ({ kind })),
    }),
    registryOverLimit: gauge(metrics, {
      name: "x2istio_registry_over_limit_count",
      help: "Services that a registry lists beyond its maxServices.",
      labelNames: ["registry"],
      perRegistry: [{}],
    }),
    registrySkipped: gauge(metrics, {
      name: "x2istio_registry_skipped_count",
      help: "Services that a registry lists and that are passed over, by reason.",
      labelNames: ["registry", "kind"],
      perRegistry: skipKinds.map((kind) => ({ kind })),
    }),
  };
}

/** Of passes, and of the objects that they write. */
function passMetrics(metrics: Metrics) {
  return {
    passRuns: counter(metrics, {
      name: "x2istio_pass_runs_total",
      help: "Passes from registries to target by result.",
      labelNames: ["result"],
      labelSets: [{ result: "ok" }, { result: "failed" }],
    }),
    passDuration: histogram(metrics, {
      name: "x2istio_pass_duration_seconds",
      help: "Time that a pass took, writes included.",
      buckets: DURATION_BUCKETS,
    }),
    passChanges: counter(metrics, {
      name: "x2istio_pass_changes_total",
      help: "Changes to objects by what became of them.",
      labelNames: ["kind", "outcome"],
      labelSets: CHANGES.flatMap((kind) => OUTCOMES.map((outcome) => ({ kind, outcome }))),
    }),
    passHeld: gauge(metrics, {
      name: "x2istio_pass_held_count",
      help: "Objects and names held after the last pass, by reason.",
      labelNames: ["reason"],
      labelSets: Object.keys(HOLD_REASONS).map((reason) => ({ reason })),
    }),
    targetDrift: counter(metrics, {
      name: "x2istio_target_drift_total",
      help: "Objects of ours that someone changed or deleted and that were put back, by kind.",
      labelNames: ["kind"],
      labelSets: MESH_KINDS.map((kind) => ({ kind })),
    }),
  };
}

/** Of what a pass found or left. */
function stateMetrics(metrics: Metrics) {
  return {
    vipsUsed: gauge(metrics, { name: "x2istio_vips_used_count", help: "VIPs that hosts have." }),
    vipsResting: gauge(metrics, { name: "x2istio_vips_resting_count", help: "Freed VIPs in quarantine." }),
    vipsMoved: counter(metrics, {
      name: "x2istio_vips_moved_total",
      help: "Entries that lost a VIP that they had, for whatever reason.",
    }),
    leaderState: gauge(metrics, {
      name: "x2istio_leader_state_count",
      help: "1 while this process may write, else 0.",
    }),
    brakeState: gauge(metrics, {
      name: "x2istio_brake_state_count",
      help: "1 while a registry's brake is on, else 0.",
      labelNames: ["registry", "kind"],
      perRegistry: [{ kind: "services" }, { kind: "endpoints" }],
    }),
    demandServices: gauge(metrics, {
      name: "x2istio_demand_services_count",
      help: "Services of a registry that runs on demand: demanded ones, and those that are only known.",
      labelNames: ["registry", "state"],
      perRegistry: [{ state: "demanded" }, { state: "known" }],
    }),
  };
}
