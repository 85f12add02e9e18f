import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ReadFailure } from "./errors.ts";
import type { SkipKind } from "./model/adapter.ts";
import { STAGES } from "./model/claim.ts";
import { MESH_KINDS } from "./model/objects.ts";
import type { HoldReason } from "./model/plan.ts";
import type { LeftOutKind } from "./model/service.ts";
import type { WriteOutcome } from "./model/target.ts";

const HOLD_REASONS: Readonly<Record<HoldReason, true>> = {
  address: true,
  brake: true,
  foreign: true,
  gateway: true,
  invalid: true,
  kind: true,
  name: true,
  namespace: true,
  orphan: true,
  refused: true,
  service: true,
  stage: true,
  unread: true,
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
  kubernetes: true,
  port: true,
  weight: true,
};
const SKIPPED: Readonly<Record<SkipKind, true>> = { filter: true, infrastructure: true, kubernetes: true };
const OUTCOMES: readonly WriteOutcome[] = ["written", "conflict", "foreign", "failed", "skipped"];
const READ_RESULTS = ["ok", "failed", "incomplete"];
const USE_STATES = ["legacy", "host", "none"];
const USE_KINDS = ["host", "legacy"];
const BRAKES = ["services", "endpoints"];
const OPERATIONS = ["create", "update", "delete", "ledger", "event", "lease", "demand"];

/** Metrics with the same labels beside the registry. */
interface PerRegistry {
  readonly labelled: readonly Readonly<Record<string, string>>[];
  readonly gauges?: readonly Gauge<string>[];
  readonly counters?: readonly Counter<string>[];
}

/** All metrics of one process. Every label set that can be foreseen stands at 0 from the start. */
export type Metrics = ReturnType<typeof createMetrics>;

/** Make the process's metrics in a registry of their own, together with Node's (memory, CPU, event loop lag). */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  /** By registry, when its last complete read ended, or since when it is known; by the monotonic clock. */
  const completeMs = new Map<string, number>();
  const metrics = {
    registry,
    registryReads: new Counter({
      name: "x2istio_registry_reads_total",
      help: "Reads of a registry by result.",
      labelNames: ["registry", "result"],
      registers,
    }),
    registryReadDuration: new Histogram({
      name: "x2istio_registry_read_duration_seconds",
      help: "Time that reading a whole registry took.",
      labelNames: ["registry"],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
      registers,
    }),
    registryLastSuccess: new Gauge({
      name: "x2istio_registry_last_success_timestamp_seconds",
      help: "Unix time of the last complete read; 0 before the first.",
      labelNames: ["registry"],
      registers,
    }),
    registryStaleness: new Gauge({
      name: "x2istio_registry_staleness_seconds",
      help: "Time since the last complete read of a registry, or since its configuration was loaded.",
      labelNames: ["registry"],
      registers,
      collect() {
        for (const [name, ms] of completeMs) this.set({ registry: name }, (performance.now() - ms) / 1000);
      },
    }),
    registryFailures: new Counter({
      name: "x2istio_registry_failures_total",
      help: "Failed reads by kind: of a whole registry each time, of one service when it begins to fail.",
      labelNames: ["registry", "kind"],
      registers,
    }),
    registryServices: new Gauge({
      name: "x2istio_registry_services_count",
      help: "Services that a registry lists.",
      labelNames: ["registry"],
      registers,
    }),
    registryEndpoints: new Gauge({
      name: "x2istio_registry_endpoints_count",
      help: "Usable endpoints that a registry lists.",
      labelNames: ["registry"],
      registers,
    }),
    registryLeftOut: new Gauge({
      name: "x2istio_registry_left_out_count",
      help: "Endpoints that a registry lists and that are not used, by reason.",
      labelNames: ["registry", "kind"],
      registers,
    }),
    registrySkipped: new Gauge({
      name: "x2istio_registry_skipped_count",
      help: "Services that a registry lists and that are passed over, by reason.",
      labelNames: ["registry", "kind"],
      registers,
    }),
    passRuns: new Counter({
      name: "x2istio_pass_runs_total",
      help: "Passes from registries to target by result.",
      labelNames: ["result"],
      registers,
    }),
    passDuration: new Histogram({
      name: "x2istio_pass_duration_seconds",
      help: "Time that a pass took, writes included.",
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
      registers,
    }),
    passChanges: new Counter({
      name: "x2istio_pass_changes_total",
      help: "Changes to objects by what became of them.",
      labelNames: ["kind", "outcome"],
      registers,
    }),
    passHeld: new Gauge({
      name: "x2istio_pass_held_count",
      help: "Objects and names held after the last pass, by reason.",
      labelNames: ["reason"],
      registers,
    }),
    vipsUsed: new Gauge({ name: "x2istio_vips_used_count", help: "VIPs that hosts have.", registers }),
    vipsResting: new Gauge({ name: "x2istio_vips_resting_count", help: "Freed VIPs in quarantine.", registers }),
    targetWrites: new Counter({
      name: "x2istio_target_writes_total",
      help: "Write requests to the target by result.",
      labelNames: ["operation", "result"],
      registers,
    }),
    targetDrift: new Counter({
      name: "x2istio_target_drift_total",
      help: "Objects of ours that someone changed or deleted and that were put back, by kind.",
      labelNames: ["kind"],
      registers,
    }),
    leaderState: new Gauge({
      name: "x2istio_leader_state_count",
      help: "1 while this process may write, else 0.",
      registers,
    }),
    brakeState: new Gauge({
      name: "x2istio_brake_state_count",
      help: "1 while a registry's brake is on, else 0.",
      labelNames: ["registry", "kind"],
      registers,
    }),
    dnsAnswers: new Counter({
      name: "x2istio_dns_answers_total",
      help: "DNS answers, by who gave them: table, cache or forward, stale (from the cache, as nobody answered), refused; limited and dropped by the rate limit.",
      labelNames: ["transport", "rcode", "type", "source", "view"],
      registers,
    }),
    dnsDuration: new Histogram({
      name: "x2istio_dns_answer_duration_seconds",
      help: "Time from a question by UDP to its answer: ready-made, made at once (each 64th of both), or waited for (all).",
      labelNames: ["path"],
      buckets: [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5, 2, 5],
      registers,
    }),
    dnsNamesTime: new Gauge({
      name: "x2istio_dns_names_timestamp_seconds",
      help: "Unix time when `x2istio dns --from` last knew that its names are those of the other x2istio; 0 before, and where names come from a target.",
      registers,
    }),
    usageQuestions: new Counter({
      name: "x2istio_usage_questions_total",
      help: "DNS questions for names of services, by whose service it is, by what kind of name, and by the view of who asked.",
      labelNames: ["registry", "kind", "view"],
      registers,
    }),
    usageServices: new Gauge({
      name: "x2istio_usage_services_count",
      help: "Services by how they were asked for in the last day: by a legacy name, only by their host (which is what aliases lead to) or a report, or not at all.",
      labelNames: ["registry", "state"],
      registers,
    }),
    stageServices: new Gauge({
      name: "x2istio_stage_services_count",
      help: "Services by the stage at which they stand.",
      labelNames: ["registry", "stage"],
      registers,
    }),
    demandReports: new Counter({
      name: "x2istio_demand_reports_total",
      help: "Reports of callers by result: ready, pending, unknown or unavailable; denied, limited and invalid ones were not looked at.",
      labelNames: ["result"],
      registers,
    }),
    demandServices: new Gauge({
      name: "x2istio_demand_services_count",
      help: "Services of a registry that runs on demand: demanded ones, and those that are only known.",
      labelNames: ["registry", "state"],
      registers,
    }),
    dnsHeld: new Counter({
      name: "x2istio_dns_held_total",
      help: "DNS questions that were held until a name could be answered, by result: answered, or failed after 2 s.",
      labelNames: ["result"],
      registers,
    }),
    configReloads: new Counter({
      name: "x2istio_config_reloads_total",
      help: "Reloads of the configuration file by result.",
      labelNames: ["result"],
      registers,
    }),
  };

  for (const result of ["ok", "failed"]) {
    metrics.passRuns.inc({ result }, 0);
    metrics.configReloads.inc({ result }, 0);
    for (const operation of OPERATIONS) metrics.targetWrites.inc({ operation, result }, 0);
  }
  for (const kind of MESH_KINDS) metrics.targetDrift.inc({ kind }, 0);
  for (const kind of ["create", "update", "delete"])
    for (const outcome of OUTCOMES) metrics.passChanges.inc({ kind, outcome }, 0);
  for (const reason of Object.keys(HOLD_REASONS)) metrics.passHeld.set({ reason }, 0);
  for (const result of ["ready", "pending", "unknown", "unavailable", "denied", "limited", "invalid"])
    metrics.demandReports.inc({ result }, 0);
  for (const result of ["answered", "failed"]) metrics.dnsHeld.inc({ result }, 0);
  for (const path of ["ready", "made", "waited"]) metrics.dnsDuration.zero({ path });
  for (const transport of ["udp", "tcp"]) {
    for (const source of ["table", "forward", "cache", "stale"]) {
      for (const rcode of ["NOERROR", "NXDOMAIN", "SERVFAIL"])
        metrics.dnsAnswers.inc({ transport, rcode, source, type: "A", view: "mesh" }, 0);
    }
    for (const rcode of ["FORMERR", "NOTIMP", "REFUSED"])
      metrics.dnsAnswers.inc({ transport, rcode, source: "refused", type: "A", view: "mesh" }, 0);
  }

  const leftOutKinds = Object.keys(LEFT_OUT) as LeftOutKind[];
  const skipKinds = Object.keys(SKIPPED) as SkipKind[];
  const { registryLastSuccess, registryStaleness, registryServices, registryEndpoints } = metrics;
  const byRegistry: readonly PerRegistry[] = [
    { labelled: [{}], gauges: [registryLastSuccess, registryStaleness, registryServices, registryEndpoints] },
    { labelled: READ_RESULTS.map((result) => ({ result })), counters: [metrics.registryReads] },
    { labelled: Object.keys(FAILURES).map((kind) => ({ kind })), counters: [metrics.registryFailures] },
    { labelled: leftOutKinds.map((kind) => ({ kind })), gauges: [metrics.registryLeftOut] },
    { labelled: skipKinds.map((kind) => ({ kind })), gauges: [metrics.registrySkipped] },
    { labelled: USE_STATES.map((state) => ({ state })), gauges: [metrics.usageServices] },
    { labelled: STAGES.map((stage) => ({ stage })), gauges: [metrics.stageServices] },
    { labelled: USE_KINDS.map((kind) => ({ kind, view: "mesh" })), counters: [metrics.usageQuestions] },
    { labelled: BRAKES.map((kind) => ({ kind })), gauges: [metrics.brakeState] },
    { labelled: ["demanded", "known"].map((state) => ({ state })), gauges: [metrics.demandServices] },
  ];

  let known: readonly string[] = [];
  /** Set the label sets of these registries to 0 where they are new, and drop those of registries that have left. */
  function setRegistries(names: readonly string[]): void {
    for (const name of known) if (!names.includes(name)) forgetRegistry(name);
    for (const name of names) if (!known.includes(name)) greetRegistry(name);
    known = [...names];
  }
  function greetRegistry(registry: string): void {
    completeMs.set(registry, performance.now());
    for (const { labelled, gauges, counters } of byRegistry) {
      for (const labels of labelled) {
        for (const gauge of gauges ?? []) gauge.set({ registry, ...labels }, 0);
        for (const counter of counters ?? []) counter.inc({ registry, ...labels }, 0);
      }
    }
    metrics.registryReadDuration.zero({ registry });
  }
  function forgetRegistry(registry: string): void {
    completeMs.delete(registry);
    for (const { labelled, gauges = [], counters = [] } of byRegistry) {
      for (const labels of labelled) for (const one of [...gauges, ...counters]) one.remove({ registry, ...labels });
    }
    metrics.registryReadDuration.remove({ registry });
  }
  function readComplete(registry: string): void {
    metrics.registryLastSuccess.set({ registry }, Date.now() / 1000);
    if (completeMs.has(registry)) completeMs.set(registry, performance.now());
  }
  /** Set how many services of each registry are used in which way, and at which stage they are. */
  function setUse(numberOf: (of: "use" | "stage", registry: string, what: string) => number): void {
    for (const registry of known) {
      for (const state of USE_STATES) metrics.usageServices.set({ registry, state }, numberOf("use", registry, state));
      for (const stage of STAGES) metrics.stageServices.set({ registry, stage }, numberOf("stage", registry, stage));
    }
  }
  return { ...metrics, setUse, leftOutKinds, skipKinds, setRegistries, readComplete };
}
