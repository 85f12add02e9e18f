import type { MigrationRules, StageDecision } from "../model/claim.ts";
import type { Demands } from "../model/demand.ts";
import type { ExposureRule } from "../model/exposure.ts";
import type { ObjectKey, OwnedObject } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import { type DemandOptions, divideByDemandSteps, stillKnown } from "../plan/demand.ts";
import { buildExposures, type ExposureMemo, withExposures } from "../plan/exposures.ts";
import { type Catalog, type CatalogService, mergeSteps, type Reading } from "../plan/merge.ts";
import { keepMoved } from "../plan/moved.ts";
import { type AliasRule, type NameMemo, type Naming, nameHostsSteps } from "../plan/names.ts";
import { buildObjectsSteps, type Desired } from "../plan/objects.ts";
import { type EqualMemo, planSteps } from "../plan/plan.ts";
import { applyPolicySteps, type PolicedPlan, type PolicyOptions } from "../plan/policy.ts";
import { type FillMemo, fillPremadeSteps, findAliasedSteps, withFilling } from "../plan/premade.ts";
import { decideStagesSteps, type StageOptions } from "../plan/stages.ts";
import { type IndexedStanding, indexStandingSteps, namelessEntries } from "../plan/standing.ts";
import { runSteps, type Steps } from "../plan/steps.ts";
import { allocateVipsSteps, type LedgerMemo, type VipLedger } from "../plan/vips.ts";
import { demandTtls } from "./known.ts";
import { decideSome, type Last, type LateStages, type PartialDecision, startFrom } from "./some.ts";

/** The part of a configuration that decides what should stand. */
export interface Settings {
  readonly owner: string;
  /** In configuration order. */
  readonly registries: readonly {
    readonly name: string;
    /** Cron expression with seconds. */
    readonly poll: string;
    /** Templates with {service}, {namespace} and {registry}. */
    readonly legacyNames: readonly string[];
    readonly exportTo: readonly string[];
    readonly xds: boolean;
    /** `<namespace>/<name>` of a waypoint, or `none`. */
    readonly waypoint?: string | undefined;
    /** Whether all services stand, or those that someone asked for. */
    readonly demand?: "all" | "reported";
    /** How long they stand after they were asked for last. */
    readonly demandTtlMs?: number;
  }[];
  readonly hosts: { readonly template: string };
  readonly aliases: readonly AliasRule[];
  readonly exposures: readonly ExposureRule[];
  readonly merge: readonly string[];
  readonly vips: {
    readonly mode: "ledger" | "istio";
    readonly ranges: readonly string[];
    readonly quarantineMs: number;
  };
  readonly policy: Omit<PolicyOptions, "allowDeletes" | "nowMs"> & {
    /** A brake that has been on for so long is released; never if left out. */
    readonly releaseAfterMs?: number | undefined;
  };
  readonly migration: MigrationRules;
  readonly target: { readonly namespace: string; readonly clusterDomain: string };
}

/** What one computation starts from. */
export interface ComputeInput {
  /** By registry, in configuration order. */
  readonly readings: ReadonlyMap<string, Reading>;
  readonly standing: Standing;
  /** By the target's clock. */
  readonly nowMs: number;
  /** Registries whose brake is released. */
  readonly allowDeletes: ReadonlySet<string>;
  /** The most endpoints that each registry had lately. */
  readonly endpointPeaks: ReadonlyMap<string, number>;
  /** Who asked for services lately, beside what their entries say. */
  readonly asked?: Demands;
}

/** What is to be written and shown. A later decision may bring the maps of an earlier one up to date. */
export interface Decision {
  readonly standing: IndexedStanding;
  /** What is to stand. */
  readonly catalog: Catalog;
  /** Services that are only known, as nobody has asked for them. They have names, too. */
  readonly undemanded: ReadonlyMap<ServiceKey, CatalogService>;
  readonly naming: Naming;
  /** `undefined` when Istio allocates VIPs. */
  readonly ledger: VipLedger | undefined;
  /** Where services are that are claimed or past `outside`; all others are outside. */
  readonly stages: ReadonlyMap<ServiceKey, StageDecision>;
  readonly plan: PolicedPlan;
}

/** Every stage's result, for writing and for `explain`. */
export interface Computation extends Decision {
  readonly desired: Desired;
}

/** The pipeline from readings to plan, for one configuration. */
export type Compute = (input: ComputeInput) => Computation;

/** The pipeline for one who decides again and again. */
export interface Pipeline {
  /** Decide everything, in steps, from the input as it is before the first. */
  all(input: ComputeInput): Steps<Computation>;
  /**
   * Decide only what changed since the last decision, as a look at everything would; `undefined` when it takes that look.
   *
   * @param changed keys of all that changed in the target since; `undefined` when they are not known
   */
  some(input: ComputeInput, changed: ReadonlySet<ObjectKey> | undefined): PartialDecision | undefined;
  /** Whether an object stood just so in an earlier decision: where it is to be written again, someone else has changed it. */
  hasStood(object: OwnedObject): boolean;
}

export function createCompute(config: Settings): Compute {
  const { all } = createPipeline(config);
  return (input) => runSteps(all(input));
}

/**
 * Join the pure stages. What it keeps from call to call only saves work: unchanged services keep their identity from stage
 * to stage, so that the cost of a decision follows what changed.
 */
export function createPipeline(config: Settings): Pipeline {
  const namingOptions = {
    template: config.hosts.template,
    clusterDomain: config.target.clusterDomain,
    legacyNames: new Map(config.registries.map(({ name, legacyNames }) => [name, legacyNames])),
    aliases: config.aliases,
  };
  const nameMemo: NameMemo = { wishes: new WeakMap(), names: new WeakMap() };
  const ledgerMemo: LedgerMemo = new WeakMap();
  const equal: EqualMemo = new WeakMap();
  const demandOptions = demandOptionsOf(config);
  const stageOptions = stageOptionsOf(config);
  const late = lateStages(config, equal);
  let last: Last | undefined;
  /** Whether `last` and what has been taken from it since are all that there was. */
  let isCurrent = false;

  function* all({ readings: live, standing: now, ...input }: ComputeInput): Steps<Computation> {
    isCurrent = false;
    const readings = new Map(live);
    const standing = yield* indexStandingSteps(now);
    const merged = yield* mergeSteps(readings, standing, config.merge, last?.decision.catalog, late.settled);
    const known = yield* keepMoved(merged, standing, last?.decision.catalog);
    yield* findAliasedSteps(known, standing);
    const unlisted = stillKnown(known, last?.decision.undemanded ?? new Map());
    const named = unlisted.size === 0 ? known : { ...known, services: new Map([...known.services, ...unlisted]) };
    const allNames = yield* nameHostsSteps(named, standing, namingOptions, last?.decision.naming, nameMemo);
    const question = { asked: input.asked ?? new Map(), nowMs: input.nowMs };
    const demanded = yield* divideByDemandSteps(known, unlisted, standing, question, demandOptions);
    const { catalog, undemanded } = demanded;
    const naming = withoutHoldsOf(undemanded, allNames);
    const vipOptions = { ...config.vips, owner: config.owner, nowMs: input.nowMs };
    const ledger =
      config.vips.mode === "istio"
        ? undefined
        : yield* allocateVipsSteps(hostsOf(naming, standing, undemanded), standing, vipOptions, ledgerMemo);
    const options = { ...stageOptions, nowMs: input.nowMs, undemanded };
    const moves = yield* decideStagesSteps(catalog, naming, standing, options, last?.decision.stages);
    const previous = last?.decision.desired.memo;
    const from = { standing, catalog, naming, ledger, moves, previous, demanded };
    const { desired, plan } = yield* late.stages(from, input);
    const decision = { standing, catalog, undemanded, naming, ledger, stages: moves.decisions, desired, plan };
    last = startFrom(decision, readings);
    isCurrent = true;
    return decision;
  }

  function some(input: ComputeInput, changed: ReadonlySet<ObjectKey> | undefined): PartialDecision | undefined {
    if (!isCurrent || last === undefined || changed === undefined) return undefined;
    const decided = decideSome(last, input, changed, late, config.merge);
    isCurrent = decided !== undefined;
    return decided;
  }

  return { all, some, hasStood: (object) => equal.has(object) };
}

/** The stages after names and VIPs. They look at each service by itself, but for the brakes. */
function lateStages(config: Settings, equal: EqualMemo): LateStages {
  const registries = new Map(
    config.registries.map((registry) => [
      registry.name,
      { ...registry, ...(registry.demand === "reported" ? { isReported: true } : {}) },
    ]),
  );
  const { owner, policy, exposures } = config;
  const { namespace, clusterDomain } = config.target;
  const exposuresOf = Map.groupBy(exposures, ({ service }) => service);
  const filled: FillMemo = new WeakMap();
  const routes: ExposureMemo = new WeakMap();
  return {
    settled: new WeakMap(),
    *stages({ moves, demanded, previous, only, ...from }, { nowMs, allowDeletes, endpointPeaks }) {
      const { standing, catalog, naming, ledger } = from;
      const { keepEmptyMs } = policy;
      const { decisions: stages } = moves;
      const how = { owner, namespace, clusterDomain, keepEmptyMs, registries };
      const objectOptions = { ...how, nowMs, demanded, stages };
      const desired = yield* buildObjectsSteps(catalog, naming, ledger?.vips, standing, objectOptions, previous);
      const rules = only === undefined ? exposures : [...only].flatMap((key) => exposuresOf.get(key) ?? []);
      const exposed = buildExposures(rules, { catalog, standing, desired, stages }, how, routes);
      const all = withExposures(desired, exposed);
      const wanted = { ...all, holds: [...all.holds, ...moves.holds, ...(ledger?.holds ?? [])] };
      const own = yield* planSteps(wanted, standing, equal);
      const raw = withFilling(own, yield* fillPremadeSteps(catalog, standing, filled));
      const policyOptions = { ...policy, allowDeletes, nowMs };
      const plan = yield* applyPolicySteps(raw, standing, catalog.authorities, endpointPeaks, policyOptions);
      return { desired: all, plan };
    },
  };
}

function stageOptionsOf({ migration, registries, target }: Settings): Omit<StageOptions, "nowMs"> {
  const { namespace, clusterDomain } = target;
  return { rules: migration, registries: new Map(registries.map((one) => [one.name, one])), namespace, clusterDomain };
}

/** Registries that run on demand, and the services that the configuration itself asks for. */
function demandOptionsOf({ registries, exposures, policy }: Settings): DemandOptions {
  return {
    ttlMs: demandTtls(registries),
    wanted: new Set(exposures.map(({ service }) => service)),
    keepEmptyMs: policy.keepEmptyMs,
  };
}

/** A name that a service does not get matters once somebody asks for the service. */
function withoutHoldsOf(services: ReadonlyMap<ServiceKey, unknown>, naming: Naming): Naming {
  if (services.size === 0) return naming;
  return { ...naming, holds: naming.holds.filter(({ service }) => service === undefined || !services.has(service)) };
}

/** Hosts that are to have a VIP, and those of entries that stand, whatever is to become of them. */
function hostsOf(
  naming: Naming,
  standing: IndexedStanding,
  undemanded: ReadonlyMap<ServiceKey, unknown>,
): ReadonlyMap<string, ServiceKey> {
  const hosts = new Map<string, ServiceKey>();
  for (const [host, { spec }] of namelessEntries(standing)) if ((spec.addresses ?? []).length > 0) hosts.set(host, "");
  for (const [key, entry] of standing.entries) {
    const host = entry.manifest.spec.hosts[0];
    if (host !== undefined) hosts.set(host, key);
  }
  for (const [key, { host }] of naming.services) if (!undemanded.has(key)) hosts.set(host, key);
  return hosts;
}
