import { EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION } from "../../model/objects.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import { standingStage } from "../stages/standing-stage.ts";
import { type IndexedStanding, isExposure } from "../standing.ts";

/** Whether a complete read no longer lists a service. What could not be read is not gone, nor is what no configured registry speaks for. */
export function isGone(
  key: ServiceKey,
  { services, failed, authorities, pruned }: Pick<Catalog, "services" | "failed" | "authorities" | "pruned">,
): boolean {
  const registry = registryOfKey(key);
  const isKnown = authorities.get(registry)?.state === "complete" || pruned?.has(registry) === true;
  return isKnown && !services.has(key) && !failed.has(key);
}

/**
 * Whether a service has an endpoint, had one, or is reached inside. Until then callers by its legacy names are better served by whoever
 * answered them before.
 */
export function hasServed(
  key: ServiceKey,
  { endpoints }: Pick<CatalogService, "endpoints">,
  { entries, byService }: Pick<IndexedStanding, "entries" | "byService">,
): boolean {
  if (endpoints.length > 0) return true;
  // It has been given names, also where somebody took its entry away.
  if (byService.get(key)?.some((object) => object.manifest.kind === "VirtualService" && !isExposure(object)) === true)
    return true;
  const entry = entries.get(key);
  if (entry === undefined) return false;
  const { annotations = {} } = entry.manifest.metadata;
  return (
    (entry.manifest.spec.endpoints ?? []).length > 0 ||
    annotations[EMPTY_SINCE_ANNOTATION] !== undefined ||
    annotations[GONE_SINCE_ANNOTATION] !== undefined ||
    standingStage(entry).stage !== "outside"
  );
}
