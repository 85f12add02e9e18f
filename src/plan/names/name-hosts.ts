import { inSlices, type Sliced } from "../../async/slices.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import { lazy } from "../lazy.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import type { IndexedStanding } from "../standing.ts";
import { giveAliases, holdNeverAliases, holdRouted } from "./aliases.ts";
import { foreignHolder, foreignNames, foreignText, notOurs } from "./foreign-names.ts";
import { type Keeping, namesOn, standingHolders } from "./holders.ts";
import { keptNames } from "./kept-names.ts";
import { giveLegacyNames, take } from "./legacy-names.ts";
import { aliasesByName, rivalsOf } from "./name-clashes.ts";
import type { AliasName, LegacyName, Naming, ServiceNames, Wishes } from "./naming.ts";
import { hold, type Named, type NamingState, type Wishing } from "./naming-state.ts";
import { hasServed, isGone } from "./tenure.ts";
import { type NamingOptions, wishesOf } from "./wishes.ts";

/**
 * Give every service its host, legacy names and aliases.
 *
 * Who holds a name in the target and is to have it keeps it; then registry order, then service key. A host clash holds the newcomer, a
 * clash of a legacy name or alias withholds only that name. A host once written is kept when the template changes. What a service
 * is not to have any more, or that is gone, moves to the one that is to have it; where that one cannot take it yet it stays until then.
 *
 * @param unable services that cannot stand in this pass: they take nothing over
 */
export function* nameHosts(
  catalog: Catalog,
  standing: IndexedStanding,
  options: NamingOptions,
  memory: PlanMemory = planMemory(),
  unable: ReadonlySet<ServiceKey> = new Set(),
): Sliced<Naming> {
  const all = new Map<ServiceKey, Wishing>();
  yield* inSlices(inOrder(catalog), ([key, service]) => {
    const barred = unable.has(key) ? "unable" : hasServed(key, service, standing) ? undefined : "unserved";
    all.set(key, { key, service, wishes: rememberedWishes(service, options, memory), barred });
  });
  const foreign = foreignNames(standing, memory);
  const holders = yield* standingHolders(standing, keepingOf(all, catalog, standing), memory);
  const named: Named[] = [];
  const wished = lazy(() => namesOf(named.filter(({ barred }) => barred === undefined)));
  const state: NamingState = {
    ...{ standing, foreign, memory, holders, wished, nowMs: options.nowMs, clusterDomain: options.clusterDomain },
    foreignHolder: foreignHolder(standing, foreign, options.clusterDomain),
    aliasesNamed: lazy(() => aliasesByName(standing, holders)),
    kept: keptNames(catalog, options.legacyNames),
    awaited: lazy(() => awaitedOf(all, named)),
    holds: [],
    heldAliases: new Set(),
    neverAliases: [],
    moves: [],
  };
  yield* inSlices(all.values(), (one) => {
    const host = giveHost(state, one);
    if (host !== undefined) named.push({ ...one, host });
  });
  const services = yield* giveAllNames(state, named);
  holdNeverAliases(state);
  const { holds, heldAliases, moves } = state;
  return { services, holds, heldAliases, moves };
}

/** Hosts come first: a legacy name must not take the host of a service that comes later. */
function* giveAllNames(state: NamingState, named: readonly Named[]): Sliced<ReadonlyMap<ServiceKey, ServiceNames>> {
  const before = state.memory.decision?.naming.services;
  // Whoever can take names over goes before who can only keep what it has.
  const inTurn = [
    ...named.filter(({ barred }) => barred === undefined),
    ...named.filter(({ barred }) => barred !== undefined),
  ];
  const aliases = new Map<ServiceKey, readonly AliasName[]>();
  yield* inSlices(inTurn, (one) => {
    aliases.set(one.key, giveAliases(state, one));
  });
  const services = new Map<ServiceKey, ServiceNames>();
  yield* inSlices(inTurn, (one) => {
    const names = giveNames(state, one, aliases.get(one.key) ?? NO_NAMES);
    const known = before?.get(one.key);
    services.set(one.key, known !== undefined && sameNames(known, names) ? known : names);
  });
  return services;
}

/** What services keep of what stands on their objects: all that they are to have, and all of which nobody can say what is to become of it. */
function keepingOf(all: ReadonlyMap<ServiceKey, Wishing>, catalog: Catalog, standing: IndexedStanding): Keeping {
  return {
    name(key, name, isHost) {
      const one = all.get(key);
      if (one === undefined) return !isGone(key, catalog);
      if (isHost) return true;
      const isWished = one.wishes.legacyNames.some((wish) => wish.name === name && wish.fault === undefined);
      // It may be that of a member that could not be read.
      return (isWished || one.service.isPartial === true) && hasServed(key, one.service, standing);
    },
    alias(key, alias) {
      const one = all.get(key);
      return one === undefined ? !isGone(key, catalog) : one.wishes.aliasKeys.includes(alias);
    },
  };
}

function namesOf(services: Iterable<Wishing>): ReadonlySet<string> {
  return new Set([...services].flatMap(({ wishes }) => wishes.legacyNames.map(({ name }) => name)));
}

/** What only those are to have who cannot take it yet. */
function awaitedOf(all: ReadonlyMap<ServiceKey, Wishing>, named: readonly Named[]): ReadonlySet<string> {
  const able = new Set(named.filter(({ barred }) => barred === undefined).map(({ key }) => key));
  const later = [...all.values()].filter(({ key }) => !able.has(key));
  // Aliases are given to all that stand.
  const noAlias = later.filter(({ barred }) => barred !== "unserved");
  return new Set([...namesOf(later), ...noAlias.flatMap(({ wishes }) => wishes.aliasKeys)]);
}

function rememberedWishes(service: CatalogService, options: NamingOptions, { wishes }: PlanMemory): Wishes {
  const known = wishes.get(service);
  if (known !== undefined) return known;
  const made = wishesOf(service, options);
  wishes.set(service, made);
  return made;
}

/** Registries in configuration order, then services by key. */
function inOrder(catalog: Catalog): readonly (readonly [ServiceKey, CatalogService])[] {
  const byRegistry = new Map<string, (readonly [ServiceKey, CatalogService])[]>(
    [...catalog.authorities.keys()].map((registry) => [registry, []]),
  );
  for (const one of catalog.services) byRegistry.get(one[1].registry)?.push(one);
  return [...byRegistry.values()].flatMap((services) => services.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function giveHost(state: NamingState, one: Wishing): string | undefined {
  const { standing, holders, foreignHolder } = state;
  const { key, barred } = one;
  const { host: wanted, hostFault, imitation } = one.wishes;
  const standingHost = standing.entries.get(key)?.manifest.spec.hosts[0];
  const host = standingHost ?? wanted;
  const stood = standingHost === undefined ? holders.stood.get(host)?.[0] : undefined;
  const stoodOn = standing.entries.get(stood ?? "");
  // Names of one that is gone go with its host; they are more than a service that has never had an endpoint may take.
  const isBarred =
    barred === "unable" ||
    (barred === "unserved" && stoodOn !== undefined && namesOn(stoodOn, state.memory).length > 0);
  const holder = holders.names.get(host) ?? (isBarred ? stood : undefined);
  const fault = standingHost === undefined ? hostFault : undefined;
  // What stands on another entry of ours only moves: we hold it.
  const foreign = standingHost === undefined && stood === undefined ? foreignHolder(host) : undefined;
  const taken =
    holder !== undefined && holder !== key
      ? `belongs to ${holder}`
      : foreign !== undefined
        ? `is taken by ${notOurs(foreignText(foreign))}`
        : standingHost === undefined && imitation !== undefined
          ? `is not given: ${imitation}`
          : undefined;
  if (fault !== undefined) hold(state, one, { reason: "invalid", subject: host, message: fault });
  else if (taken !== undefined) hold(state, one, { reason: "name", subject: host, message: `host ${host} ${taken}` });
  if (fault !== undefined || taken !== undefined) return undefined;
  take(state, one, host);
  return host;
}

const NO_NAMES: readonly never[] = [];
const UNSERVED = "its legacy names are left to whoever answers them until it has an endpoint that can be used";

function giveNames(state: NamingState, named: Named, aliases: readonly AliasName[]): ServiceNames {
  const { wishes, host, barred } = named;
  const legacyNames = giveLegacyNames(state, named);
  const rivals = rivalsOf(state, named.key, host, legacyNames);
  holdRouted(state, named, aliases);
  const isLeft = barred === "unserved" && legacyNames.length < wishes.legacyNames.length;
  return {
    host,
    ...(wishes.host === host ? {} : { templateHost: wishes.host }),
    legacyNames,
    aliases,
    notes: isLeft ? [...wishes.notes, UNSERVED] : wishes.notes,
    ...(rivals.length === 0 ? {} : { rivals }),
  };
}

function sameNames(a: ServiceNames, b: ServiceNames): boolean {
  return (
    a.host === b.host &&
    a.templateHost === b.templateHost &&
    sameList(a.legacyNames, b.legacyNames, sameLegacyName) &&
    sameList(a.aliases, b.aliases, (one, other) => one.name === other.name && one.namespace === other.namespace) &&
    sameList(a.notes, b.notes, (one, other) => one === other) &&
    sameList(a.rivals ?? NO_NAMES, b.rivals ?? NO_NAMES, (one, other) => one.message === other.message)
  );
}

function sameLegacyName(a: LegacyName, b: LegacyName): boolean {
  return a.name === b.name && a.dnsOnly === b.dnsOnly && a.since === b.since;
}

function sameList<Item>(a: readonly Item[], b: readonly Item[], isSame: (a: Item, b: Item) => boolean): boolean {
  return a === b || (a.length === b.length && a.every((item, at) => isSame(item, b[at] as Item)));
}
