import { AUTO_ALLOCATE_LABEL, EXPOSURE_ANNOTATION, type Metadata, type ServiceEntry } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { PremadeEntry, Standing, StandingObject } from "../model/standing.ts";
import { type Holding, holdingOf } from "./policy/holdings.ts";
import { replaced } from "./replaced.ts";

/** The ServiceEntry of a service as it stands. */
export interface StandingEntry extends StandingObject {
  readonly manifest: ServiceEntry;
  readonly service: ServiceKey;
}

/** `Standing` at one moment, with what the stages look up by service. */
export interface IndexedStanding extends Standing {
  /** One per service; of two that claim one service (never written by us) the older. */
  readonly entries: ReadonlyMap<ServiceKey, StandingEntry>;
  /** All objects of a service, its entry included. */
  readonly byService: ReadonlyMap<ServiceKey, readonly StandingObject[]>;
  /** Entries of others that are to be filled, by service. */
  readonly premadeOf: ReadonlyMap<ServiceKey, readonly PremadeEntry[]>;
  /** Services that such entries ask for by another name, as far as that is known. */
  readonly premadeAliases: ReadonlyMap<ServiceKey, ServiceKey>;
  /** What services have, to be judged by how much of it they lose. */
  readonly holdings: ReadonlyMap<ServiceKey, Holding>;
}

/** Index what stands now. The index has maps of its own: it stays as it is while the live view moves on. */
export function indexStanding(live: Standing): IndexedStanding {
  const standing = {
    objects: new Map(live.objects),
    foreign: new Map(live.foreign),
    premade: new Map(live.premade),
    ledger: new Map(live.ledger),
    namespaces: live.namespaces === undefined ? undefined : new Map(live.namespaces),
    absentKinds: new Set(live.absentKinds),
    claims: new Map(live.claims),
    sidecars: new Map(live.sidecars),
    peerRules: new Map(live.peerRules),
    meshNamespaces: new Map(live.meshNamespaces),
  };
  const entries = new Map<ServiceKey, StandingEntry>();
  const byService = new Map<ServiceKey, StandingObject[]>();
  for (const object of standing.objects.values()) {
    if (object.service === undefined) continue;
    const siblings = byService.get(object.service);
    if (siblings === undefined) byService.set(object.service, [object]);
    else siblings.push(object);
    if (!isEntry(object)) continue;
    const other = entries.get(object.service);
    if (other === undefined || isOlder(object, other)) entries.set(object.service, object);
  }
  const premadeOf = new Map<ServiceKey, PremadeEntry[]>();
  for (const entry of standing.premade.values()) {
    if (entry.service === undefined) continue;
    const others = premadeOf.get(entry.service);
    if (others === undefined) premadeOf.set(entry.service, [entry]);
    else others.push(entry);
  }
  const holdings = new Map<ServiceKey, Holding>();
  for (const service of new Set([...entries.keys(), ...premadeOf.keys()]))
    holdings.set(service, holdingOf(entries.get(service), premadeOf.get(service) ?? []));
  return { ...standing, entries, byService, premadeOf, premadeAliases: new Map(), holdings };
}

/** Newer versions of objects that stand, each with the one before. */
export interface Exchange {
  /** Of the same service and registry. */
  readonly objects: readonly (readonly [before: StandingObject, now: StandingObject])[];
  /** Entries that are filled. */
  readonly premade: readonly (readonly [before: PremadeEntry, now: PremadeEntry])[];
}

/** What stands, with newer versions of some objects; `index` stays as it is. */
export function exchanged(index: IndexedStanding, { objects, premade }: Exchange): IndexedStanding {
  if (objects.length + premade.length === 0) return index;
  const entries = new Map<ServiceKey, StandingEntry>();
  const byService = new Map<ServiceKey, readonly StandingObject[]>();
  for (const [before, now] of objects) {
    const { service } = now;
    if (service === undefined) continue;
    const siblings = byService.get(service) ?? index.byService.get(service) ?? [];
    byService.set(
      service,
      siblings.map((one) => (one === before ? now : one)),
    );
    if ((entries.get(service) ?? index.entries.get(service)) !== before || !isEntry(now)) continue;
    entries.set(service, now);
  }
  const premadeOf = new Map<ServiceKey, readonly PremadeEntry[]>();
  for (const [before, now] of premade) {
    const service = premadeService(index, now);
    if (service === undefined) continue;
    const filled = premadeOf.get(service) ?? index.premadeOf.get(service) ?? [];
    premadeOf.set(
      service,
      filled.map((one) => (one === before ? now : one)),
    );
  }
  const holdings = new Map<ServiceKey, Holding>();
  for (const service of new Set([...entries.keys(), ...premadeOf.keys()])) {
    const entry = entries.get(service) ?? index.entries.get(service);
    holdings.set(service, holdingOf(entry, premadeOf.get(service) ?? index.premadeOf.get(service) ?? []));
  }
  return {
    ...index,
    holdings: replaced(index.holdings, holdings),
    objects: replaced(index.objects, new Map(objects.map(([, now]) => [now.key, now]))),
    entries: replaced(index.entries, entries),
    byService: replaced(index.byService, byService),
    premade: replaced(index.premade, new Map(premade.map(([, now]) => [now.key, now]))),
    premadeOf: replaced(index.premadeOf, premadeOf),
  };
}

/** The service that an entry is filled from, by its own name where that is known. */
export function premadeService(
  { premadeAliases }: Pick<IndexedStanding, "premadeAliases">,
  { service }: PremadeEntry,
): ServiceKey | undefined {
  return service === undefined ? undefined : (premadeAliases.get(service) ?? service);
}

/** What stands of some services, with nothing of anyone else's but what is filled from them. */
export function standingOf(index: IndexedStanding, services: Iterable<ServiceKey>): IndexedStanding {
  const keys = [...services];
  const byService = new Map(keys.map((key) => [key, index.byService.get(key) ?? []]));
  const entries = keys.flatMap((key) => {
    const entry = index.entries.get(key);
    return entry === undefined ? [] : [[key, entry] as const];
  });
  const objects = [...byService.values()].flat().map((object) => [object.key, object] as const);
  const premadeOf = new Map(
    keys.flatMap((key) => {
      const premade = index.premadeOf.get(key);
      return premade === undefined ? [] : [[key, premade] as const];
    }),
  );
  const { namespaces, premadeAliases, holdings, absentKinds = new Set() } = index;
  return {
    objects: new Map(objects),
    entries: new Map(entries),
    byService,
    foreign: new Map(),
    premade: new Map([...premadeOf.values()].flat().map((entry) => [entry.key, entry])),
    premadeOf,
    premadeAliases,
    ledger: new Map(),
    namespaces,
    absentKinds,
    holdings,
  };
}

/** Whether this is a service's ServiceEntry and not the companion that gives its legacy names an xDS listener. */
export function isEntry(object: StandingObject): object is StandingEntry {
  return (
    object.manifest.kind === "ServiceEntry" && object.service !== undefined && !isCompanion(object.manifest.metadata)
  );
}

/** Entries of ours of which nobody can tell the service any more, by host: what they have stays theirs. */
export function namelessEntries({ objects }: Pick<Standing, "objects">): ReadonlyMap<string, ServiceEntry> {
  const entries = new Map<string, ServiceEntry>();
  for (const { service, manifest } of objects.values()) {
    if (service !== undefined || manifest.kind !== "ServiceEntry" || isCompanion(manifest.metadata)) continue;
    const [host] = manifest.spec.hosts;
    if (host !== undefined) entries.set(host, manifest);
  }
  return entries;
}

/** By name and label: a service's own host may end in `-legacy` too. */
export function isCompanion({ name, labels }: Metadata): boolean {
  return isCompanionName(name) && labels?.[AUTO_ALLOCATE_LABEL] === "false";
}

function isCompanionName(name: string): boolean {
  return name.endsWith("-legacy");
}

function isOlder(a: StandingObject, b: StandingObject): boolean {
  if (a.createdMs !== b.createdMs) return (a.createdMs ?? 0) < (b.createdMs ?? 0);
  return a.key < b.key;
}

/** Whether it leads a gateway's callers to a service: it stands and goes by the configuration, not by its service. */
export function isExposure({ manifest }: Pick<StandingObject, "manifest">): boolean {
  return manifest.metadata.annotations?.[EXPOSURE_ANNOTATION] !== undefined;
}
