import type { ServiceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import { type Catalog, merge, type Reading } from "../plan/merge.ts";
import { type AliasRule, type NameMemo, type Naming, nameHosts } from "../plan/names.ts";
import { buildObjects, type Desired, type ObjectMemo } from "../plan/objects.ts";
import { type EqualMemo, plan } from "../plan/plan.ts";
import { applyPolicy, type PolicedPlan, type PolicyOptions } from "../plan/policy.ts";
import type { SettleMemo } from "../plan/settle.ts";
import { type IndexedStanding, indexStanding } from "../plan/standing.ts";
import { allocateVips, type LedgerMemo, type VipLedger } from "../plan/vips.ts";

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
  }[];
  readonly hosts: { readonly template: string };
  readonly aliases: readonly AliasRule[];
  readonly merge: readonly string[];
  readonly vips: {
    readonly mode: "ledger" | "istio";
    readonly ranges: readonly string[];
    readonly quarantineMs: number;
  };
  readonly policy: Omit<PolicyOptions, "allowDeletes" | "nowMs">;
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
}

/** Every stage's result, for writing and for `explain`. */
export interface Computation {
  readonly standing: IndexedStanding;
  readonly catalog: Catalog;
  readonly naming: Naming;
  /** `undefined` when Istio allocates VIPs. */
  readonly ledger: VipLedger | undefined;
  readonly desired: Desired;
  readonly plan: PolicedPlan;
}

/** The pipeline from readings to plan, for one configuration. */
export type Compute = (input: ComputeInput) => Computation;

/**
 * Join the pure stages. What it keeps from call to call only saves work: unchanged services keep their identity from stage
 * to stage, so that the cost of a pass follows what changed.
 */
export function createCompute(config: Settings): Compute {
  const registries = new Map(config.registries.map((registry) => [registry.name, registry]));
  const namingOptions = {
    template: config.hosts.template,
    clusterDomain: config.target.clusterDomain,
    legacyNames: new Map(config.registries.map(({ name, legacyNames }) => [name, legacyNames])),
    aliases: config.aliases,
  };
  const nameMemo: NameMemo = { wishes: new WeakMap(), names: new WeakMap() };
  const ledgerMemo: LedgerMemo = new WeakMap();
  const equal: EqualMemo = new WeakMap();
  const settled: SettleMemo = new WeakMap();
  let catalog: Catalog | undefined;
  let naming: Naming | undefined;
  let memo: ObjectMemo | undefined;

  return function compute({ readings, standing: live, nowMs, allowDeletes, endpointPeaks }) {
    const standing = indexStanding(live);
    catalog = merge(readings, standing, config.merge, catalog, settled);
    naming = nameHosts(catalog, standing, namingOptions, naming, nameMemo);
    const ledger =
      config.vips.mode === "istio"
        ? undefined
        : allocateVips(hostsOf(naming, standing), standing, { ...config.vips, owner: config.owner, nowMs }, ledgerMemo);
    const objectOptions = {
      owner: config.owner,
      namespace: config.target.namespace,
      keepEmptyMs: config.policy.keepEmptyMs,
      registries,
      nowMs,
    };
    const desired = buildObjects(catalog, naming, ledger?.vips, standing, objectOptions, memo);
    memo = desired.memo;
    const raw = plan({ ...desired, holds: [...desired.holds, ...(ledger?.holds ?? [])] }, standing, equal);
    const policed = applyPolicy(raw, standing, catalog.authorities, endpointPeaks, {
      ...config.policy,
      allowDeletes,
      nowMs,
    });
    return { standing, catalog, naming, ledger, desired, plan: policed };
  };
}

/** Hosts that are to have a VIP, and those of entries that stand, whatever is to become of them. */
function hostsOf(naming: Naming, standing: IndexedStanding): ReadonlyMap<string, ServiceKey> {
  const hosts = new Map<string, ServiceKey>();
  for (const [key, entry] of standing.entries) {
    const host = entry.manifest.spec.hosts[0];
    if (host !== undefined) hosts.set(host, key);
  }
  for (const [key, { host }] of naming.services) hosts.set(host, key);
  return hosts;
}
