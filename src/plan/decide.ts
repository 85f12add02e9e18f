import { finish, type Sliced } from "../async/slices.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Settings } from "../model/settings.ts";
import type { Catalog, CatalogService } from "./catalog/catalog.ts";
import { keepMoved } from "./catalog/keep-moved.ts";
import { type Limited, limitHolds, limitServices, serviceLimits } from "./catalog/limit-services.ts";
import { merge } from "./catalog/merge.ts";
import { keepSpelling } from "./catalog/spelling.ts";
import { weightScales } from "./catalog/weights.ts";
import type { Decision, DecisionInput } from "./decision.ts";
import { type Demanded, type DemandOptions, divideByDemand, stillKnown } from "./demand.ts";
import { demandTtls } from "./known.ts";
import { type PlanMemory, planMemory } from "./memory.ts";
import { nameHosts } from "./names/name-hosts.ts";
import type { Naming } from "./names/naming.ts";
import type { NamingOptions } from "./names/wishes.ts";
import { withAliased } from "./objects/premade.ts";
import { groundOf } from "./partial.ts";
import { decideByService } from "./per-service.ts";
import type { StageOptions } from "./stages/stage-state.ts";
import { decideStages } from "./stages/stages.ts";
import { type IndexedStanding, indexStanding, namelessEntries } from "./standing.ts";
import { allocateVips } from "./vips/allocate-vips.ts";

/**
 * Decide what is to be written, from what registries said and what stands. Pure: no clock, no I/O, inputs untouched.
 *
 * @param memory of the decisions before with the same settings: it saves work
 */
export function decide(settings: Settings, input: DecisionInput, memory: PlanMemory = planMemory()): Decision {
  return finish(decideInSlices(settings, input, memory));
}

/** {@link decide} in slices. What stands is what stood before the first. */
export function* decideInSlices(settings: Settings, input: DecisionInput, memory: PlanMemory): Sliced<Decision> {
  memory.ground = undefined;
  const before = memory.decision;
  const readings = new Map(input.readings);
  const indexed = indexStanding(input.standing);
  yield;
  const merged = merge(
    keepSpelling(readings, indexed, settings.merge, memory),
    indexed,
    settings.merge,
    memory,
    weightScales(settings.merge, settings.registries),
  );
  yield;
  const listed = withPruned(keepMoved(merged, indexed, memory), input.prune);
  yield;
  const ground = { standing: withAliased(indexed, listed), listed, undemanded: before?.undemanded ?? new Map() };
  const unable = new Set<ServiceKey>();
  for (;;) {
    const decision = yield* decideOn(settings, ground, input, memory, unable);
    const more = takersThatCannotStand(decision);
    if (more.length === 0) {
      memory.decision = decision;
      memory.ground = groundOf(decision, readings);
      return decision;
    }
    // What they would have taken over stays where it is.
    for (const key of more) unable.add(key);
  }
}

/** The catalog with the registries that are to be pruned; never one that speaks for services. */
function withPruned(catalog: Catalog, prune: ReadonlySet<string> = new Set()): Catalog {
  const pruned = new Set([...prune].filter((registry) => !catalog.authorities.has(registry)));
  return pruned.size === 0 ? catalog : { ...catalog, pruned };
}

/** What is listed and what stands. */
interface Ground {
  readonly standing: IndexedStanding;
  readonly listed: Catalog;
  /** Services that nobody asked for when it was decided last. */
  readonly undemanded: ReadonlyMap<ServiceKey, CatalogService>;
}

/** @param unable services that can take no name over */
function* decideOn(
  settings: Settings,
  { standing, listed, undemanded: wereUndemanded }: Ground,
  input: DecisionInput,
  memory: PlanMemory,
  unable: ReadonlySet<ServiceKey>,
): Sliced<Decision> {
  const { nowMs } = input;
  const early = limitServices(listed, standing, serviceLimits(settings.registries, "all"));
  const known = early.catalog;
  const unlisted = stillKnown(known, wereUndemanded);
  const named = unlisted.size === 0 ? known : { ...known, services: new Map([...known.services, ...unlisted]) };
  const allNames = yield* nameHosts(named, standing, { ...namingOptions(settings), nowMs }, memory, unable);
  const question = { asked: input.asked ?? new Map(), nowMs };
  const divided = divideByDemand(known, unlisted, standing, question, demandOptions(settings, allNames));
  const late = limitServices(divided.catalog, standing, serviceLimits(settings.registries, "reported"));
  const demanded = withoutPlace(divided, late);
  const { catalog, undemanded } = demanded;
  const beyond = late.beyond.size === 0 ? early.beyond : new Map([...early.beyond, ...late.beyond]);
  yield;
  const naming = withoutHoldsOf(undemanded, allNames);
  const hosts = hostsOf(naming, standing, undemanded);
  yield;
  const vipOptions = { ...settings.vips, owner: settings.owner, registries: settings.registries, nowMs };
  const ledger = settings.vips.mode === "istio" ? undefined : yield* allocateVips(hosts, standing, vipOptions, memory);
  yield;
  const stages = decideStages(catalog, naming, standing, { ...stageOptions(settings), nowMs, undemanded }, memory);
  yield;
  const holds = limitHolds(beyond, settings.registries);
  const judged = { standing, catalog, naming, ledger, stages, demanded, holds };
  const { desired, plan } = yield* decideByService(settings, judged, input, memory);
  return { standing, catalog, undemanded, beyond, naming, ledger, stages: stages.decisions, desired, plan };
}

/** Services that were given what stands on others' objects, and of which no entry will be there to have it. */
function takersThatCannotStand({ naming, desired, plan, standing }: Decision): readonly ServiceKey[] {
  const takers = [...new Set(naming.moves.map(({ to }) => to))];
  if (takers.length === 0) return takers;
  const made = new Set(plan.create.map(({ object }) => object.key));
  return takers.filter((taker) => {
    const [entry] = desired.kept.has(taker) ? [] : (desired.objects.get(taker) ?? []);
    if (entry === undefined || made.has(entry.key)) return entry === undefined;
    const stands = standing.objects.get(entry.key);
    return stands?.service === undefined || (stands.yielded ?? stands.terminating) !== undefined;
  });
}

function namingOptions({ hosts, target, registries, aliases }: Settings): Omit<NamingOptions, "nowMs"> {
  const legacyNames = new Map(registries.map((registry) => [registry.name, registry.legacyNames]));
  const namesOf = (option: "dots" | "singleLabels" | "caseless") =>
    new Set(registries.flatMap((registry) => (registry[option] === true ? [registry.name] : [])));
  const { clusterDomain } = target;
  const may = { dots: namesOf("dots"), singleLabels: namesOf("singleLabels"), caseless: namesOf("caseless") };
  return { template: hosts.template, clusterDomain, legacyNames, ...may, aliases };
}

function stageOptions({ migration, registries, target }: Settings): Omit<StageOptions, "nowMs"> {
  const { namespace, clusterDomain } = target;
  return { rules: migration, registries: new Map(registries.map((one) => [one.name, one])), namespace, clusterDomain };
}

/** Registries that run on demand, and the services that the configuration itself, or a name that stands, asks for. */
function demandOptions({ registries, exposures, policy }: Settings, { moves }: Naming): DemandOptions {
  return {
    ttlMs: demandTtls(registries),
    // Whoever asked for a service by a name goes on asking for the one that the name is another's now.
    wanted: new Set([...exposures.map(({ service }) => service), ...moves.map(({ to }) => to)]),
    keepEmptyMs: policy.keepEmptyMs,
  };
}

/** What is asked for and has no place stays known, as if nobody had asked. */
function withoutPlace(demanded: Demanded, { catalog, beyond }: Limited): Demanded {
  if (beyond.size === 0) return demanded;
  return { ...demanded, catalog, undemanded: new Map([...demanded.undemanded, ...beyond]) };
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
