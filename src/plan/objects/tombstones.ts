import { specWith } from "../../istio/host-names.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  HELD_LOSS_ANNOTATION,
  HELD_SERVICES_ANNOTATION,
  type Manifest,
  type OwnedObject,
  PROVENANCE_ANNOTATION,
  type ServiceEntry,
  SUCCEEDED_BY_ANNOTATION,
} from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { StandingObject } from "../../model/standing.ts";
import type { Authority, Catalog, CatalogService } from "../catalog/catalog.ts";
import { sameValue } from "../same.ts";
import { isExposure, type StandingEntry } from "../standing.ts";
import { type Heir, type HeirGround, heirOf } from "./heirs.ts";
import { serviceHold } from "./holds.ts";
import { annotationsWithout, withoutNames } from "./without-names.ts";

/** What is known where it is asked what becomes of services that no read named. */
export interface UnlistedGround extends HeirGround {
  readonly catalog: Catalog;
}

/** What is to become of a service with objects of ours that no read named: it is kept as it stands, or these are to stand. */
export function unlistedService(
  key: ServiceKey,
  siblings: readonly StandingObject[],
  ground: UnlistedGround,
  { nowMs, keepEmptyMs }: { readonly nowMs: number; readonly keepEmptyMs: number },
): Hold | readonly OwnedObject[] {
  const { catalog, standing, movesFrom } = ground;
  const registry = siblings[0]?.registry ?? "";
  const entry = standing.entries.get(key);
  const host = entry?.manifest.spec.hosts[0];
  const subject = host ?? key;
  const authority = catalog.authorities.get(registry);
  const failure = catalog.failed.get(key);
  if (authority === undefined) {
    if (catalog.pruned?.has(registry) === true) return [];
    const message = `registry ${registry} is not configured any more, or merged into another; x2istio prune --registry ${registry} removes its objects`;
    return serviceHold(key, registry, "orphan", message, subject);
  }
  if (failure !== undefined || authority.state !== "complete")
    return serviceHold(key, registry, "unread", failure ?? silence(authority), subject);
  const moved = new Set((movesFrom.get(key) ?? []).map(({ name }) => name));
  // Without its entry nothing is left to wait for: aliases and the like go too. So it is once another service has its host.
  if (entry === undefined || moved.has(host ?? "")) return [];
  const goneSince = entry.manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION];
  // An unreadable time is treated as just begun: never a reason to delete. A brake may keep it, but no name that has moved: these go first.
  const isOver = goneSince !== undefined && Date.parse(goneSince) + keepEmptyMs <= nowMs;
  if (isOver && moved.size === 0) return [];
  const since = goneSince ?? rfc3339(nowMs);
  const own = siblings.filter((object) => !isExposure(object) && !moved.has(object.key));
  return own.flatMap((object): readonly OwnedObject[] => {
    if (object === entry) return [withManifest(key, object, tombstone(entry, since, heirOf(key, ground), moved))];
    const left = withoutNames(object.manifest, moved);
    return left === undefined ? [] : [withManifest(key, object, left)];
  });
}

/** Why a registry's silence proves nothing. */
export function silence(authority: Authority): string {
  return authority.why ?? "its registry has not answered";
}

/** What stands, where it is what should stand. */
function withManifest(service: ServiceKey, { key, registry, manifest }: StandingObject, wanted: Manifest): OwnedObject {
  return { key, service, registry, manifest: sameValue(manifest, wanted) ? manifest : wanted };
}

/** The entry without endpoints of its own and without the names that are another's by now; its VIP leads to the heir. */
function tombstone(
  { manifest }: StandingEntry,
  since: string,
  heir: Heir | undefined,
  moved: ReadonlySet<string>,
): ServiceEntry {
  const {
    [EMPTY_SINCE_ANNOTATION]: _,
    [PROVENANCE_ANNOTATION]: __,
    [HELD_LOSS_ANNOTATION]: ___,
    [HELD_SERVICES_ANNOTATION]: ____,
    [SUCCEEDED_BY_ANNOTATION]: _____,
    ...annotations
  } = manifest.metadata.annotations ?? {};
  const marks = {
    [GONE_SINCE_ANNOTATION]: since,
    ...(heir === undefined ? {} : { [SUCCEEDED_BY_ANNOTATION]: heir.service }),
  };
  const metadata = { ...manifest.metadata, annotations: { ...annotationsWithout(annotations, moved), ...marks } };
  return { ...manifest, metadata, spec: specWith(manifest.spec, heir?.endpoints ?? []) };
}

/** When the last endpoint went, or `undefined`: a service that never had one is not a loss. */
export function emptySince(
  service: CatalogService,
  entry: StandingEntry | undefined,
  nowMs: number,
): string | undefined {
  if (service.endpoints.length > 0 || entry === undefined) return undefined;
  const { [EMPTY_SINCE_ANNOTATION]: empty, [GONE_SINCE_ANNOTATION]: gone } = entry.manifest.metadata.annotations ?? {};
  return empty ?? gone ?? ((entry.manifest.spec.endpoints ?? []).length > 0 ? rfc3339(nowMs) : undefined);
}
