import {
  GONE_SINCE_ANNOTATION,
  NAMES_ANNOTATION,
  type ServiceEntry,
  SUCCEEDED_BY_ANNOTATION,
} from "../../model/objects.ts";
import type { Change, Delete, Hold, Plan, Update } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { PolicySettings } from "../../model/settings.ts";
import type { PremadeEntry, StandingObject } from "../../model/standing.ts";
import { isCompanion } from "../standing.ts";

/** How much may be taken away. */
export interface PolicyOptions extends PolicySettings {
  /** Registries whose brake is released. */
  readonly allowDeletes: ReadonlySet<string>;
  /** Registries of which nothing is to stand any more, whatever the mode. */
  readonly pruned?: ReadonlySet<string>;
  readonly nowMs: number;
}

/** The ServiceEntry that a change writes; `undefined` for a delete, a companion and other kinds. */
export function entryOf(change: Change): ServiceEntry | undefined {
  if (change.kind === "delete") return undefined;
  const { manifest } = change.object;
  return manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata) ? manifest : undefined;
}

export function endpointsOf(manifest: ServiceEntry): NonNullable<ServiceEntry["spec"]["endpoints"]> {
  return manifest.spec.endpoints ?? [];
}

/** Without `held`, each of which becomes a hold. */
export function withheld(
  plan: Plan,
  held: ReadonlySet<Change>,
  reason: Hold["reason"],
  message: (change: Change) => string,
): Plan {
  if (held.size === 0) return plan;
  const isMain = ({ manifest }: StandingObject) => manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata);
  const ending = [...held].filter((change) => change.kind === "delete").filter(({ standing }) => isMain(standing));
  const services = new Set(ending.map(serviceOf));
  const holds = [...held].filter(
    (change) => change.kind !== "delete" || isMain(change.standing) || !services.has(serviceOf(change)),
  );
  return {
    create: plan.create,
    update: plan.update.flatMap((change) => (held.has(change) ? (lettingGo(change) ?? []) : change)),
    delete: plan.delete.filter((change) => !held.has(change)),
    hold: [...plan.hold, ...holds.map((change) => ({ ...holdOf(change, reason), message: message(change) }))],
    unchanged: plan.unchanged + held.size,
  };
}

/** What is left of an update that is held: the entry as it stands, without the names that another service has by now. No brake keeps these. */
export function lettingGo(change: Update): Update | undefined {
  const names = mark(change.object.manifest, NAMES_ANNOTATION);
  if (entryOf(change) === undefined || change.premade !== undefined) return undefined;
  const { manifest, service } = change.standing;
  if (names === mark(manifest, NAMES_ANNOTATION) || service !== change.object.service) return undefined;
  const { [NAMES_ANNOTATION]: _, ...others } = manifest.metadata.annotations ?? {};
  const annotations = names === undefined ? others : { ...others, [NAMES_ANNOTATION]: names };
  const kept = { ...manifest, metadata: { ...manifest.metadata, annotations } } as ServiceEntry;
  return { ...change, object: { ...change.object, manifest: kept } };
}

/** Whether it is the entry of a service that is gone and whose VIP leads to another one: that has its endpoints, and is judged by them. */
export function isSucceeded(manifest: StandingObject["manifest"]): boolean {
  return mark(manifest, SUCCEEDED_BY_ANNOTATION) !== undefined;
}

/** The hold that a change becomes. */
export function holdOf(change: Change, reason: Hold["reason"]): Omit<Hold, "message"> {
  const { manifest, service, key } = change.kind === "delete" ? change.standing : change.object;
  const subject = manifest.kind === "ServiceEntry" ? (manifest.spec.hosts[0] ?? key) : key;
  return { reason, subject, service, registry: registryOf(change) };
}

export function serviceOf({ standing }: Delete): ServiceKey | undefined {
  return standing.service;
}

export function registryOf(change: Change): string {
  return change.kind === "delete" ? change.standing.registry : change.object.registry;
}

/** Of an entry written by hand where others than the operator may write: they could trip a brake for all services by what they write there. */
export function isApart({ premade, standing }: Update): boolean {
  return premade !== undefined && (standing as PremadeEntry).isApart === true;
}

/** A service that its registry no longer lists. */
export function isVanishing(change: Update): boolean {
  if (change.premade !== undefined) return change.premade === "gone";
  return (
    mark(change.object.manifest, GONE_SINCE_ANNOTATION) !== undefined &&
    mark(change.standing.manifest, GONE_SINCE_ANNOTATION) === undefined
  );
}

/** An annotation of a manifest. */
export function mark(
  manifest: { metadata: { annotations?: Readonly<Record<string, string>> } },
  name: string,
): string | undefined {
  return manifest.metadata.annotations?.[name];
}

/** Add to the count of `key`. */
export function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
