import { finish } from "../../src/async/slices.ts";
import type { Config } from "../../src/config/config.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import { merge } from "../../src/plan/catalog/merge.ts";
import type { Decision, DecisionInput } from "../../src/plan/decision.ts";
import { planMemory } from "../../src/plan/memory.ts";
import { nameHosts } from "../../src/plan/names/name-hosts.ts";
import { buildNameTable } from "../../src/plan/names/name-table.ts";
import { buildObjects } from "../../src/plan/objects/build-objects.ts";
import { plan } from "../../src/plan/plan.ts";
import { applyPolicy } from "../../src/plan/policy/policy.ts";
import { indexStanding } from "../../src/plan/standing.ts";
import { allocateVips } from "../../src/plan/vips/allocate-vips.ts";

/** One pass, stage by stage as in src/plan/decide.ts, and the name table beside it: milliseconds of each. */
export function stagesOf(config: Config): (input: DecisionInput) => Record<string, number> {
  const options = {
    template: config.hosts.template,
    clusterDomain: config.target.clusterDomain,
    legacyNames: new Map(config.registries.map(({ name, legacyNames }) => [name, legacyNames])),
    aliases: config.aliases,
  };
  const registries = new Map(config.registries.map((registry) => [registry.name, registry]));
  const memory = planMemory();
  let table: NameTable | undefined;

  return ({ readings, standing: live, nowMs, allowDeletes }) => {
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
    const catalog = timed("merge", () => merge(readings, standing, config.merge, memory));
    const naming = timed("names", () => finish(nameHosts(catalog, standing, { ...options, nowMs }, memory)));
    const hosts = new Map([...naming.services].map(([key, { host }]) => [host, key]));
    const vipOptions = { ...vips, owner, registries: config.registries, nowMs };
    const ledger = timed("vips", () => finish(allocateVips(hosts, standing, vipOptions, memory)));
    const desired = timed("objects", () =>
      finish(buildObjects(catalog, naming, ledger.vips, standing, objectOptions, memory)),
    );
    const raw = timed("plan", () => finish(plan(desired, standing, memory)));
    const policyOptions = { ...policy, allowDeletes, nowMs };
    timed("policy", () => applyPolicy(raw, standing, catalog.authorities, policyOptions));
    table = timed("name table", () => finish(buildNameTable(live, { settleMs: 1000, nowMs }, table)));
    memory.decision = { catalog, naming, desired } as Decision;
    return spent;
  };
}
