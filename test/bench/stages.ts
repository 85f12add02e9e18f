import type { Config } from "../../src/config.ts";
import type { ComputeInput } from "../../src/controller/compute.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import { type Catalog, merge } from "../../src/plan/merge.ts";
import { buildNameTable } from "../../src/plan/name-table.ts";
import { type NameMemo, type Naming, nameHosts } from "../../src/plan/names.ts";
import { buildObjects, type ObjectMemo } from "../../src/plan/objects.ts";
import { type EqualMemo, plan } from "../../src/plan/plan.ts";
import { applyPolicy } from "../../src/plan/policy.ts";
import { indexStanding } from "../../src/plan/standing.ts";
import { allocateVips, type LedgerMemo } from "../../src/plan/vips.ts";

/** One pass, stage by stage as in src/controller/compute.ts, and the name table beside it: milliseconds of each. */
export function stagesOf(config: Config): (input: ComputeInput) => Record<string, number> {
  const naming = {
    template: config.hosts.template,
    clusterDomain: config.target.clusterDomain,
    legacyNames: new Map(config.registries.map(({ name, legacyNames }) => [name, legacyNames])),
    aliases: config.aliases,
  };
  const registries = new Map(config.registries.map((registry) => [registry.name, registry]));
  const nameMemo: NameMemo = { wishes: new WeakMap(), names: new WeakMap() };
  const ledgerMemo: LedgerMemo = new WeakMap();
  const equal: EqualMemo = new WeakMap();
  let before: { catalog: Catalog; names: Naming; memo: ObjectMemo; table: NameTable } | undefined;

  return ({ readings, standing: live, nowMs, allowDeletes, endpointPeaks }) => {
    const spent: Record<string, number> = {};
    const timed = <Result>(stage: string, task: () => Result): Result => {
      const started = performance.now();
      const result = task();
      spent[stage] = performance.now() - started;
      return result;
    };
    const { owner, policy, vips } = config;
    const objectOptions = {
      owner,
      namespace: config.target.namespace,
      keepEmptyMs: policy.keepEmptyMs,
      registries,
      nowMs,
    };
    const standing = timed("index", () => indexStanding(live));
    const catalog = timed("merge", () => merge(readings, standing, config.merge, before?.catalog));
    const names = timed("names", () => nameHosts(catalog, standing, naming, before?.names, nameMemo));
    const hosts = new Map([...names.services].map(([key, { host }]) => [host, key]));
    const ledger = timed("vips", () => allocateVips(hosts, standing, { ...vips, owner, nowMs }, ledgerMemo));
    const desired = timed("objects", () =>
      buildObjects(catalog, names, ledger.vips, standing, objectOptions, before?.memo),
    );
    const raw = timed("plan", () => plan(desired, standing, equal));
    const policyOptions = { ...policy, allowDeletes, nowMs };
    timed("policy", () => applyPolicy(raw, standing, catalog.authorities, endpointPeaks, policyOptions));
    const table = timed("name table", () => buildNameTable(live, { settleMs: 1000, nowMs }, before?.table));
    before = { catalog, names, memo: desired.memo, table };
    return spent;
  };
}
