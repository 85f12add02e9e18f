import { specWith } from "../../istio/host-names.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  HELD_LOSS_ANNOTATION,
  HELD_SERVICES_ANNOTATION,
  type OwnedObject,
  PROVENANCE_ANNOTATION,
} from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { StandingObject } from "../../model/standing.ts";
import type { Authority, Catalog, CatalogService } from "../catalog/catalog.ts";
import { type IndexedStanding, isExposure, type StandingEntry } from "../standing.ts";
import { serviceHold } from "./holds.ts";

/** What is to become of a service with objects of ours that no read named: it is kept as it stands, or these are to stand. */
export function unlistedService(
  key: ServiceKey,
  siblings: readonly StandingObject[],
  { catalog, standing }: { readonly catalog: Catalog; readonly standing: IndexedStanding },
  { nowMs, keepEmptyMs }: { readonly nowMs: number; readonly keepEmptyMs: number },
): Hold | readonly OwnedObject[] {
  const registry = siblings[0]?.registry ?? "";
  const entry = standing.entries.get(key);
  const subject = entry?.manifest.spec.hosts[0] ?? key;
  const authority = catalog.authorities.get(registry);
  const failure = catalog.failed.get(key);
  if (authority === undefined) {
    const message = `registry ${registry} is not configured any more, or merged into another; x2istio prune --registry ${registry} removes its objects`;
    return serviceHold(key, registry, "orphan", message, subject);
  }
  if (failure !== undefined || authority.state !== "complete")
    return serviceHold(key, registry, "unread", failure ?? silence(authority), subject);
  // Without its entry nothing is left to wait for: aliases and the like go too.
  if (entry === undefined) return [];
  const goneSince = entry.manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION];
  // An unreadable time is treated as just begun: never a reason to delete.
  if (goneSince !== undefined && Date.parse(goneSince) + keepEmptyMs <= nowMs) return [];
  const isFilled = (entry.manifest.spec.endpoints ?? []).length > 0; // of a tombstone: by someone else
  const isToBeEmptied = goneSince === undefined || isFilled;
  const since = goneSince ?? rfc3339(nowMs);
  const own = siblings.filter((object) => !isExposure(object));
  return own.map((object) =>
    object === entry && isToBeEmptied ? tombstone(key, entry, since) : asDesired(key, object),
  );
}

/** Why a registry's silence proves nothing. */
export function silence(authority: Authority): string {
  return authority.why ?? "its registry has not answered";
}

function asDesired(service: ServiceKey, { key, registry, manifest }: StandingObject): OwnedObject {
  return { key, service, registry, manifest };
}

function tombstone(service: ServiceKey, { key, registry, manifest }: StandingEntry, since: string): OwnedObject {
  const {
    [EMPTY_SINCE_ANNOTATION]: _,
    [PROVENANCE_ANNOTATION]: __,
    [HELD_LOSS_ANNOTATION]: ___,
    [HELD_SERVICES_ANNOTATION]: ____,
    ...annotations
  } = manifest.metadata.annotations ?? {};
  const metadata = { ...manifest.metadata, annotations: { ...annotations, [GONE_SINCE_ANNOTATION]: since } };
  return { key, service, registry, manifest: { ...manifest, metadata, spec: specWith(manifest.spec, []) } };
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
