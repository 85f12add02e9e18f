import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { HoldReason } from "./model/plan.ts";
import type { WriteOutcome } from "./model/target.ts";

const HOLD_REASONS: Readonly<Record<HoldReason, true>> = {
  address: true,
  brake: true,
  foreign: true,
  invalid: true,
  name: true,
  namespace: true,
  orphan: true,
  unread: true,
  "upsert-only": true,
  unknown: true,
  yielded: true,
};
const OUTCOMES: readonly WriteOutcome[] = ["written", "conflict", "foreign", "failed", "skipped"];
const READ_RESULTS = ["ok", "failed", "incomplete"];
const BRAKES = ["services", "endpoints"];
const OPERATIONS = ["create", "update", "delete", "ledger", "event", "lease"];

/** All metrics of one process. Every label set that can be foreseen stands at 0 from the start. */
export type Metrics = ReturnType<typeof createMetrics>;

/** Make the process's metrics in a registry of their own, together with Node's (memory, CPU, event loop lag). */
export function createMetrics() {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
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
      help: "DNS answers sent.",
      labelNames: ["transport", "rcode", "source"],
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
  for (const kind of ["create", "update", "delete"])
    for (const outcome of OUTCOMES) metrics.passChanges.inc({ kind, outcome }, 0);
  for (const reason of Object.keys(HOLD_REASONS)) metrics.passHeld.set({ reason }, 0);
  for (const transport of ["udp", "tcp"]) {
    for (const source of ["table", "forward"]) {
      for (const rcode of ["NOERROR", "NXDOMAIN", "SERVFAIL"]) metrics.dnsAnswers.inc({ transport, rcode, source }, 0);
    }
    for (const rcode of ["FORMERR", "NOTIMP", "REFUSED"])
      metrics.dnsAnswers.inc({ transport, rcode, source: "refused" }, 0);
  }

  let known: readonly string[] = [];
  /** Set the label sets of these registries to 0 where they are new, and drop those of registries that have left. */
  function setRegistries(names: readonly string[]): void {
    for (const name of known) if (!names.includes(name)) forgetRegistry(name);
    for (const name of names) if (!known.includes(name)) greetRegistry(name);
    known = [...names];
  }
  function greetRegistry(name: string): void {
    for (const result of READ_RESULTS) metrics.registryReads.inc({ registry: name, result }, 0);
    for (const gauge of [metrics.registryLastSuccess, metrics.registryServices, metrics.registryEndpoints])
      gauge.set({ registry: name }, 0);
    for (const kind of BRAKES) metrics.brakeState.set({ registry: name, kind }, 0);
    metrics.registryReadDuration.zero({ registry: name });
  }
  function forgetRegistry(name: string): void {
    for (const result of READ_RESULTS) metrics.registryReads.remove({ registry: name, result });
    for (const metric of [
      metrics.registryLastSuccess,
      metrics.registryServices,
      metrics.registryEndpoints,
      metrics.registryReadDuration,
    ])
      metric.remove({ registry: name });
    for (const kind of BRAKES) metrics.brakeState.remove({ registry: name, kind });
  }
  return { ...metrics, setRegistries };
}
