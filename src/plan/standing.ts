import { AUTO_ALLOCATE_LABEL, type Metadata, type ObjectKey, type ServiceEntry } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
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
  /** Endpoints on the entries, by registry. */
  readonly endpoints: ReadonlyMap<string, number>;
}

/** An index of which single objects can be exchanged. */
export interface StandingIndex extends IndexedStanding {
  readonly objects: Map<ObjectKey, StandingObject>;
  readonly entries: Map<ServiceKey, StandingEntry>;
  readonly byService: Map<ServiceKey, readonly StandingObject[]>;
  readonly endpoints: Map<string, number>;
}

/** Index what stands now. The index has maps of its own: it stays as it is while the live view moves on. */
export const indexStanding = atOnce(indexStandingSteps);

/** {@link indexStanding} in steps. What stands is what stood before the first. */
export function* indexStandingSteps(live: Standing): Steps<StandingIndex> {
  const standing = {
    objects: new Map(live.objects),
    foreign: new Map(live.foreign),
    ledger: new Map(live.ledger),
    namespaces: live.namespaces === undefined ? undefined : new Map(live.namespaces),
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
  return { ...standing, entries, byService, endpoints };
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

/** What stands of some services, with nothing of anyone else's. */
export function standingOf(index: IndexedStanding, services: Iterable<ServiceKey>): IndexedStanding {
  const keys = [...services];
  const byService = new Map(keys.map((key) => [key, index.byService.get(key) ?? []]));
  const entries = keys.flatMap((key) => {
    const entry = index.entries.get(key);
    return entry === undefined ? [] : [[key, entry] as const];
  });
  const objects = [...byService.values()].flat().map((object) => [object.key, object] as const);
  const { namespaces, endpoints } = index;
  return {
    objects: new Map(objects),
    entries: new Map(entries),
    byService,
    foreign: new Map(),
    ledger: new Map(),
    namespaces,
    endpoints,
  };
}

function endpointCount({ manifest }: StandingObject): number {
  return manifest.kind === "ServiceEntry" ? (manifest.spec.endpoints?.length ?? 0) : 0;
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
