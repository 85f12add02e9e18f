import { inSlices, type Sliced } from "../../async/slices.ts";
import { entryFault } from "../../istio/entry-rules.ts";
import { DEMAND_ANNOTATION, IDLE_SINCE_ANNOTATION } from "../../model/demand.ts";
import { type Manifest, type ObjectKey, type OwnedObject, objectKey, SHRUNK_ANNOTATION } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { ForeignObject, StandingObject } from "../../model/standing.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import { lazy } from "../lazy.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { foreignNames } from "../names/foreign-names.ts";
import type { Naming, ServiceNames } from "../names/naming.ts";
import { keptShrunk } from "../policy/holdings.ts";
import { sameValue } from "../same.ts";
import type { IndexedStanding, StandingEntry } from "../standing.ts";
import { allocatedByOthers } from "../vips/allocated.ts";
import type { Built, Desired, ObjectOptions, Parts } from "./desired.ts";
import { judgeRoute, mayRoute } from "./foreign-routes.ts";
import { serviceHold } from "./holds.ts";
import { companionName, entryName, manifestsOf } from "./manifests.ts";
import { emptySince, unlistedService } from "./tombstones.ts";

/** What objects are made from, and what has been made so far. */
interface State {
  readonly catalog: Catalog;
  readonly naming: Naming;
  /** By host; `undefined` when Istio allocates them. */
  readonly vips: ReadonlyMap<string, readonly string[]> | undefined;
  readonly standing: IndexedStanding;
  readonly options: ObjectOptions;
  /** What services' objects were made of in the last pass. */
  readonly before: ReadonlyMap<ServiceKey, Built> | undefined;
  /** Others' routes that all namespaces see, by host: the others leave the rest to ours. */
  readonly routes: ReadonlyMap<string, ForeignObject>;
  /** By service, why it has no names. */
  readonly nameHolds: () => ReadonlyMap<ServiceKey | undefined, Hold>;
  readonly objects: Map<ServiceKey, readonly OwnedObject[]>;
  readonly holds: Hold[];
  readonly kept: Map<ServiceKey, Hold>;
  readonly keptObjects: Set<ObjectKey>;
  readonly built: Map<ServiceKey, Built>;
}

/**
 * The objects that should stand: for each service a ServiceEntry, an ExternalName Service for each alias, and where legacy
 * names need them a VirtualService and a companion entry. Everything that only Istio's webhook would refuse is refused here,
 * and holds that service.
 *
 * A service that a complete read no longer lists keeps its objects as a tombstone, without endpoints, for `keepEmptyMs`.
 *
 * @param vips by host; `undefined` when Istio allocates them
 */
export function* buildObjects(
  catalog: Catalog,
  naming: Naming,
  vips: ReadonlyMap<string, readonly string[]> | undefined,
  standing: IndexedStanding,
  options: ObjectOptions,
  memory: PlanMemory = planMemory(),
): Sliced<Desired> {
  const state: State = {
    ...{ catalog, naming, vips, standing, options },
    before: memory.decision?.desired.built,
    routes: foreignNames(standing, memory).routes.wide,
    nameHolds: lazy(() => new Map(naming.holds.map((one) => [one.service, one]))),
    objects: new Map(),
    holds: [...naming.holds],
    kept: new Map(),
    keptObjects: new Set(naming.heldAliases),
    built: new Map(),
  };
  const { objects, kept, keptObjects, holds, built } = state;
  yield* inSlices(catalog.services, ([key, service]) => addListed(state, key, service));
  const ground = { catalog, standing, objects, movesFrom: Map.groupBy(naming.moves, ({ from }) => from) };
  yield* inSlices(standing.byService, ([key, siblings]) => {
    if (catalog.services.has(key) || options.demanded?.decayed.has(key) === true) return;
    const unlisted = unlistedService(key, siblings, ground, options);
    if ("reason" in unlisted) keep(state, key, unlisted);
    else objects.set(key, unlisted);
  });
  for (const [key, why] of catalog.failed) {
    // Nothing stands of it yet, so nothing is kept; but it must not go unsaid.
    if (!standing.byService.has(key)) holds.push(serviceHold(key, registryOfKey(key), "unread", why));
  }
  return { objects, kept, keptObjects, holds, built, ...(catalog.pruned && { pruned: catalog.pruned }) };
}

function addListed(state: State, key: ServiceKey, service: CatalogService): void {
  const { naming, vips } = state;
  const names = naming.services.get(key);
  const addresses = names === undefined ? undefined : vips === undefined ? NONE : vips.get(names.host);
  if (names === undefined || addresses === undefined) {
    // The names or VIP stage has said why; what stands of such a service stays.
    const hold = names === undefined ? state.nameHolds().get(key) : undefined;
    state.kept.set(key, hold ?? serviceHold(key, service.registry, "address", "no VIP could be given"));
    return;
  }
  const built = buildService(state, key, service, names, addresses);
  state.built.set(key, built);
  if (built.fault === undefined) state.objects.set(key, withoutRoutedElsewhere(state, built.objects));
  else keep(state, key, serviceHold(key, service.registry, "invalid", built.fault, names.host));
}

const NONE: readonly string[] = [];

function keep({ kept, holds }: State, key: ServiceKey, hold: Hold): void {
  kept.set(key, hold);
  holds.push(hold);
}

function buildService(
  { standing, options, before: all }: State,
  key: ServiceKey,
  service: CatalogService,
  names: ServiceNames,
  given: readonly string[],
): Built {
  const entry = standing.entries.get(key);
  const addresses = given.length === 0 ? allocatedByOthers(entry) : given;
  const before = all?.get(key);
  const parts: Parts = {
    service,
    names,
    vips: addresses.join(","),
    aliases: aliasPlaces(names, standing.byService.get(key) ?? [], options),
    legacyVips: options.registries.get(service.registry)?.xds === true ? companionVips(names, standing, options) : "",
    emptySince: emptySince(service, entry, options.nowMs),
    shrunk: keptShrunk(entry?.manifest.metadata.annotations?.[SHRUNK_ANNOTATION], service.endpoints.length),
    ...demandMarks(key, service, entry, before, options),
    stage: options.stages?.get(key),
    standingPorts: service.ports.length === 0 ? entry?.manifest.spec.ports : undefined,
  };
  if (before !== undefined && sameParts(before, parts)) return shared(before, entry);
  const made = manifestsOf(key, parts, addresses, options);
  const fault =
    service.undecided ??
    portlessFault(parts) ??
    made
      .map((manifest) => (manifest.kind === "ServiceEntry" ? entryFault(manifest) : undefined))
      .find((one) => one !== undefined);
  return shared({ ...parts, fault, objects: made.map((manifest) => owned(key, service.registry, manifest)) }, entry);
}

/** An entry needs a port. Until it has one its names are left to who answers them. */
function portlessFault({ service, standingPorts = [] }: Parts): string | undefined {
  const isSaid =
    service.ports.length + standingPorts.length > 0 || !service.leftOut.some(({ kind }) => kind === "port");
  if (isSaid) return undefined;
  return `none of its instances states a port, which an entry needs: a rule in ports of registry ${service.registry} gives it one (service and number)`;
}

/**
 * Aliases are known as ours by what their entry says, also once no rule gives their namespace any more: labels like ours anyone
 * may set on a Service. So one is named until it is gone.
 */
function aliasPlaces(
  { aliases }: ServiceNames,
  siblings: readonly Pick<StandingObject, "manifest">[],
  { namespace: own }: ObjectOptions,
): string {
  const stand = siblings.flatMap(({ manifest }) => (manifest.kind === "Service" ? [manifest.metadata] : []));
  const places = [...aliases, ...stand].filter(({ namespace }) => namespace !== own);
  return [...new Set(places.map(({ namespace, name }) => `${namespace}/${name}`))].sort().join(",");
}

function demandMarks(
  key: ServiceKey,
  { registry }: CatalogService,
  entry: StandingEntry | undefined,
  before: Built | undefined,
  { registries, demanded }: ObjectOptions,
): Pick<Parts, "demand" | "idleSince"> {
  if (registries.get(registry)?.isReported !== true) return { demand: undefined, idleSince: undefined };
  const standing = entry?.manifest.metadata.annotations;
  const marks = demanded?.marks.get(key);
  if (marks === undefined)
    return { demand: standing?.[DEMAND_ANNOTATION], idleSince: standing?.[IDLE_SINCE_ANNOTATION] };
  // What cannot be created yet is not made anew by every further question.
  const demand = entry === undefined ? (before?.demand ?? marks.demand) : marks.demand;
  return { demand, idleSince: marks.idleSince };
}

function companionVips({ host }: ServiceNames, standing: IndexedStanding, { namespace }: ObjectOptions): string {
  const key = objectKey("ServiceEntry", namespace, companionName(entryName(host)));
  return allocatedByOthers(standing.objects.get(key)).join(",");
}

/** A service's objects without its VirtualService where someone else's route takes its place. */
function withoutRoutedElsewhere(state: State, objects: readonly OwnedObject[]): readonly OwnedObject[] {
  if (state.routes.size === 0) return objects;
  const { routes, standing, naming, options, keptObjects, holds } = state;
  return objects.filter((object) => {
    const { manifest, key } = object;
    const other = manifest.kind === "VirtualService" ? routes.get(manifest.spec.hosts[0] ?? "") : undefined;
    if (other === undefined) return true;
    const isTrusted = mayRoute(object.service, other.namespace, naming, options.namespace);
    const { ours, hold } = judgeRoute(object, other, standing.objects.has(key), isTrusted);
    if (hold !== undefined) holds.push(hold);
    if (ours === "keep") keptObjects.add(key);
    return ours === "write";
  });
}

/** An entry that is to be what it is takes over the spec that stands: thousands of endpoints are then there once. */
function shared(built: Built, entry: StandingEntry | undefined): Built {
  const [object, ...others] = built.objects;
  if (entry === undefined || object === undefined || object.manifest.kind !== "ServiceEntry") return built;
  const { spec } = entry.manifest;
  if (object.manifest.spec === spec || !sameValue(object.manifest.spec, spec)) return built;
  return { ...built, objects: [{ ...object, manifest: { ...object.manifest, spec } }, ...others] };
}

function sameParts(a: Parts, b: Parts): boolean {
  return (
    a.service === b.service &&
    a.names === b.names &&
    a.vips === b.vips &&
    a.aliases === b.aliases &&
    a.legacyVips === b.legacyVips &&
    a.emptySince === b.emptySince &&
    a.shrunk === b.shrunk &&
    a.demand === b.demand &&
    a.idleSince === b.idleSince &&
    a.stage === b.stage &&
    a.standingPorts === b.standingPorts
  );
}

function owned(service: ServiceKey, registry: string, manifest: Manifest): OwnedObject {
  return {
    key: objectKey(manifest.kind, manifest.metadata.namespace, manifest.metadata.name),
    service,
    registry,
    manifest,
  };
}
