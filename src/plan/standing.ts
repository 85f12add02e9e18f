import {
  AUTO_ALLOCATE_LABEL,
  EXPOSURE_ANNOTATION,
  type Metadata,
  type ObjectKey,
  type ServiceEntry,
} from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { PremadeEntry, Standing, StandingObject } from "../model/standing.ts";
import { isInside } from "./standing-stage.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

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
  /** Endpoints on the entries, by registry; on those that are filled, too, and not on those of services that are inside. */
  readonly endpoints: ReadonlyMap<string, number>;
}

/** An index of which single objects can be exchanged. */
export interface StandingIndex extends IndexedStanding {
  readonly objects: Map<ObjectKey, StandingObject>;
  readonly entries: Map<ServiceKey, StandingEntry>;
  readonly byService: Map<ServiceKey, readonly StandingObject[]>;
  readonly premade: Map<ObjectKey, PremadeEntry>;
  readonly premadeOf: Map<ServiceKey, readonly PremadeEntry[]>;
  readonly premadeAliases: Map<ServiceKey, ServiceKey>;
  readonly endpoints: Map<string, number>;
}

/** Index what stands now. The index has maps of its own: it stays as it is while the live view moves on. */
export const indexStanding = atOnce(indexStandingSteps);

/** {@link indexStanding} in steps. What stands is what stood before the first. */
export function* indexStandingSteps(live: Standing): Steps<StandingIndex> {
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
  let looked = 0;
  for (const object of standing.objects.values()) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (object.service === undefined) continue;
    const siblings = byService.get(object.service);
    if (siblings === undefined) byService.set(object.service, [object]);
    else siblings.push(object);
    if (!isEntry(object)) continue;
    const other = entries.get(object.service);
    if (other === undefined || isOlder(object, other)) entries.set(object.service, object);
  }
  const endpoints = new Map<string, number>();
  for (const entry of entries.values()) count(endpoints, entry.registry, endpointCount(entry));
  const premadeOf = new Map<ServiceKey, PremadeEntry[]>();
  for (const entry of standing.premade.values()) {
    if (entry.service === undefined) continue;
    count(endpoints, entry.registry, endpointCount(entry));
    const others = premadeOf.get(entry.service);
    if (others === undefined) premadeOf.set(entry.service, [entry]);
    else others.push(entry);
  }
  return { ...standing, entries, byService, premadeOf, premadeAliases: new Map(), endpoints };
}

/** Put a newer version of an object of the same service and registry in the place of `before`. */
export function exchange(index: StandingIndex, before: StandingObject, now: StandingObject): void {
  index.objects.set(now.key, now);
  const { service } = now;
  if (service === undefined) return;
  const siblings = index.byService.get(service) ?? [];
  index.byService.set(
    service,
    siblings.map((one) => (one === before ? now : one)),
  );
  if (index.entries.get(service) !== before || !isEntry(now)) return;
  index.entries.set(service, now);
  count(index.endpoints, now.registry, endpointCount(now) - endpointCount(before));
}

/** Put a newer version of an entry that is filled in the place of `before`. */
export function exchangePremade(index: StandingIndex, before: PremadeEntry, now: PremadeEntry): void {
  index.premade.set(now.key, now);
  const service = premadeService(index, now);
  if (service === undefined) return;
  const entries = index.premadeOf.get(service) ?? [];
  index.premadeOf.set(
    service,
    entries.map((one) => (one === before ? now : one)),
  );
  count(index.endpoints, now.registry, endpointCount(now) - endpointCount(before));
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
  const { namespaces, premadeAliases, endpoints, absentKinds = new Set() } = index;
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
    endpoints,
  };
}

function endpointCount({ manifest }: StandingObject): number {
  return manifest.kind === "ServiceEntry" && !isInside({ manifest }) ? (manifest.spec.endpoints?.length ?? 0) : 0;
}

function count(counts: Map<string, number>, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
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
