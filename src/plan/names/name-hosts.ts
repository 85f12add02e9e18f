import { inSlices, type Sliced } from "../../async/slices.ts";
import type { ObjectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import { lazy } from "../lazy.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import type { IndexedStanding } from "../standing.ts";
import { DNS_LABEL } from "./dns-names.ts";
import { foreignHolder, foreignNames, foreignText, notOurs } from "./foreign-names.ts";
import { namesOn, standingHolders } from "./holders.ts";
import { type KeptNames, keptNames } from "./kept-names.ts";
import { aliasesByName, legacyClash, type NameGround, rivalsOf } from "./name-clashes.ts";
import type { AliasName, LegacyName, Naming, ServiceNames, WishedName, Wishes } from "./naming.ts";
import { type NamingOptions, unreadName, wishesOf } from "./wishes.ts";

/** What names are given from, and what has been given so far. */
interface State extends NameGround {
  readonly memory: PlanMemory;
  readonly kept: KeptNames;
  /** All legacy names that a named service is to have. */
  readonly wished: () => ReadonlySet<string>;
  readonly holds: Hold[];
  readonly heldAliases: Set<ObjectKey>;
}

/** A service that has been given its host. */
interface Named {
  readonly key: ServiceKey;
  readonly service: CatalogService;
  readonly wishes: Wishes;
  readonly host: string;
}

/**
 * Give every service its host, legacy names and aliases.
 *
 * Who holds a name in the target keeps it; then registry order, then service key. A host clash holds the newcomer, a clash
 * of a legacy name or alias withholds only that name. A host once written is kept when the template changes.
 */
export function* nameHosts(
  catalog: Catalog,
  standing: IndexedStanding,
  options: NamingOptions,
  memory: PlanMemory = planMemory(),
): Sliced<Naming> {
  const named: Named[] = [];
  const foreign = foreignNames(standing, memory);
  const state: State = {
    ...{ standing, foreign, memory },
    holders: yield* standingHolders(standing, memory),
    foreignHolder: foreignHolder(standing, foreign, options.clusterDomain),
    aliasesNamed: lazy(() => aliasesByName(standing)),
    kept: keptNames(catalog, options.legacyNames),
    wished: lazy(() => new Set(named.flatMap(({ wishes }) => wishes.legacyNames.map(({ name }) => name)))),
    holds: [],
    heldAliases: new Set(),
  };
  yield* inSlices(inOrder(catalog), ([key, service]) => {
    const wishes = rememberedWishes(service, options, memory);
    const host = giveHost(state, key, service, wishes);
    if (host !== undefined) named.push({ key, service, wishes, host });
  });
  const before = memory.decision?.naming.services;
  const services = new Map<ServiceKey, ServiceNames>();
  // Hosts first: a legacy name must not take the host of a service that comes later.
  yield* inSlices(named, (one) => {
    const names = giveNames(state, one);
    const known = before?.get(one.key);
    services.set(one.key, known !== undefined && sameNames(known, names) ? known : names);
  });
  return { services, holds: state.holds, heldAliases: state.heldAliases };
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

function giveHost(
  state: State,
  key: ServiceKey,
  service: CatalogService,
  { host: wanted, hostFault, imitation }: Wishes,
): string | undefined {
  const { standing, holders, foreignHolder } = state;
  const standingHost = standing.entries.get(key)?.manifest.spec.hosts[0];
  const host = standingHost ?? wanted;
  const holder = holders.names.get(host);
  const isTaken = holder !== undefined && holder !== key;
  const fault = standingHost === undefined ? hostFault : undefined;
  const foreign = standingHost === undefined ? foreignHolder(host) : undefined;
  const taken = isTaken
    ? `belongs to ${holder}`
    : foreign !== undefined
      ? `is taken by ${notOurs(foreignText(foreign))}`
      : standingHost === undefined && imitation !== undefined
        ? `is not given: ${imitation}`
        : undefined;
  if (fault !== undefined) hold(state, key, service, { reason: "invalid", subject: host, message: fault });
  else if (taken !== undefined)
    hold(state, key, service, { reason: "name", subject: host, message: `host ${host} ${taken}` });
  if (fault !== undefined || taken !== undefined) return undefined;
  holders.names.set(host, key);
  return host;
}

function giveNames(state: State, named: Named): ServiceNames {
  const { wishes, host } = named;
  const legacyNames = giveLegacyNames(state, named);
  const rivals = rivalsOf(state, named.key, host, legacyNames);
  return {
    host,
    ...(wishes.host === host ? {} : { templateHost: wishes.host }),
    legacyNames,
    aliases: wishes.aliases.filter((alias, at) => mayHaveAlias(state, named, alias, wishes.aliasKeys[at] ?? "")),
    notes: wishes.notes,
    ...(rivals.length === 0 ? {} : { rivals }),
  };
}

const NO_NAMES: readonly never[] = [];
/** Of one service: twice 253 characters each fit into an object. */
const MOST_LEGACY_NAMES = 500;

function giveLegacyNames(state: State, { key, service, wishes, host }: Named): readonly LegacyName[] {
  const entry = state.standing.entries.get(key);
  const before = entry === undefined ? NO_NAMES : namesOn(entry, state.memory);
  const unread = before.filter((name) => isKept(state, service, wishes, name));
  if (wishes.legacyNames.length + unread.length === 0) return NO_NAMES;
  const all: readonly (LegacyName & Pick<WishedName, "fault" | "refusal">)[] =
    unread.length === 0
      ? wishes.legacyNames
      : inStandingOrder([...wishes.legacyNames, ...unread.map(unreadName)], before);
  const given: LegacyName[] = [];
  for (const { name, dnsOnly, fault, refusal } of withinLimit(state, key, service, all, before)) {
    if (fault !== undefined || name === host) continue;
    const clash = refusal === undefined ? legacyClash(state, key, name, host) : undefined;
    const why = refusal ?? clash;
    const reason = refusal === undefined ? "name" : "invalid";
    if (why !== undefined)
      hold(state, key, service, { reason, subject: name, message: `legacy name ${name} withheld: ${why}` });
    else {
      state.holders.names.set(name, key);
      given.push(dnsOnly === undefined ? { name } : { name, dnsOnly });
    }
  }
  return given;
}

/** Whoever makes aliases of a service in its registry could else make an entry too large to be written: those that stand come first. */
function withinLimit<Name extends LegacyName & { readonly fault?: string | undefined }>(
  state: State,
  key: ServiceKey,
  service: CatalogService,
  all: readonly Name[],
  before: readonly string[],
): readonly Name[] {
  if (all.length <= MOST_LEGACY_NAMES) return all;
  const usable = all.filter(({ fault }) => fault === undefined);
  const stood = new Set(before);
  const inTurn = [...usable.filter(({ name }) => stood.has(name)), ...usable.filter(({ name }) => !stood.has(name))];
  const over = new Set(inTurn.slice(MOST_LEGACY_NAMES));
  if (over.size === 0) return usable;
  const message = `${over.size} of ${usable.length} legacy names of ${key} are withheld: a service has at most ${MOST_LEGACY_NAMES}`;
  hold(state, key, service, { reason: "limit", subject: key, message });
  return usable.filter((name) => !over.has(name));
}

/** In the order in which they stand, so that nothing is written. */
function inStandingOrder<Name extends LegacyName>(names: readonly Name[], before: readonly string[]): readonly Name[] {
  const place = ({ name }: Name) => before.indexOf(name) + 1 || names.length + 1;
  return names.toSorted((a, b) => place(a) - place(b));
}

/** Whether a name that stands and that nothing gives in this pass may be of an alias, or a member, that could not be read. */
function isKept(
  { kept, wished }: State,
  { registry, isPartial }: CatalogService,
  wishes: Wishes,
  name: string,
): boolean {
  if (wishes.legacyNames.some((one) => one.name === name)) return false;
  if (isPartial !== true && !kept.mayBeOfAlias(registry, name)) return false;
  return !wished().has(name);
}

function mayHaveAlias(state: State, { key, service }: Named, alias: AliasName, object: ObjectKey): boolean {
  const { standing, holders, heldAliases } = state;
  const holder = holders.aliases.get(object);
  const phase = standing.namespaces === undefined ? "active" : standing.namespaces.get(alias.namespace);
  const withhold = (reason: Hold["reason"], why: string, regarding?: ObjectKey) => {
    const subject = `${alias.namespace}/${alias.name}`;
    hold(state, key, service, {
      reason,
      subject,
      message: `alias ${subject} held: ${why}`,
      ...(regarding && { regarding }),
    });
    return false;
  };
  if (!DNS_LABEL.test(alias.name)) return withhold("invalid", `"${alias.name}" is not a DNS label`);
  if (holder !== undefined && holder !== key) return withhold("name", `it belongs to ${holder}`);
  if (standing.foreign.has(object)) return withhold("foreign", "a Service of that name exists and is not ours", object);
  holders.aliases.set(object, key);
  if (phase === "active") return true;
  heldAliases.add(object);
  const why = phase === undefined ? "does not exist" : "is being deleted";
  return withhold("namespace", `namespace ${alias.namespace} ${why}`);
}

function hold(
  { holds }: State,
  key: ServiceKey,
  { registry }: CatalogService,
  { reason, subject, message, regarding }: Pick<Hold, "reason" | "subject" | "message" | "regarding">,
): void {
  holds.push({ reason, subject, service: key, registry, message, ...(regarding && { regarding }) });
}

function sameNames(a: ServiceNames, b: ServiceNames): boolean {
  return (
    a.host === b.host &&
    a.templateHost === b.templateHost &&
    sameList(a.legacyNames, b.legacyNames, (one, other) => one.name === other.name && one.dnsOnly === other.dnsOnly) &&
    sameList(a.aliases, b.aliases, (one, other) => one.name === other.name && one.namespace === other.namespace) &&
    sameList(a.notes, b.notes, (one, other) => one === other) &&
    sameList(a.rivals ?? NO_NAMES, b.rivals ?? NO_NAMES, (one, other) => one.message === other.message)
  );
}

function sameList<Item>(a: readonly Item[], b: readonly Item[], isSame: (a: Item, b: Item) => boolean): boolean {
  return a === b || (a.length === b.length && a.every((item, at) => isSame(item, b[at] as Item)));
}
