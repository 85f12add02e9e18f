import { AUTO_ALLOCATE_LABEL, type Metadata, type ServiceEntry } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing, StandingObject } from "../model/standing.ts";

/** The ServiceEntry of a service as it stands. */
export interface StandingEntry extends StandingObject {
  readonly manifest: ServiceEntry;
  readonly service: ServiceKey;
}

/** `Standing` with what the stages look up by service. Made anew for each pass. */
export interface IndexedStanding extends Standing {
  /** One per service; of two that claim one service (never written by us) the older. */
  readonly entries: ReadonlyMap<ServiceKey, StandingEntry>;
  /** All objects of a service, its entry included. */
  readonly byService: ReadonlyMap<ServiceKey, readonly StandingObject[]>;
}

export function indexStanding(standing: Standing): IndexedStanding {
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
  const { objects, foreign, ledger, namespaces } = standing;
  return { objects, foreign, ledger, namespaces, entries, byService };
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
