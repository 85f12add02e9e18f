import { NAMES_ANNOTATION, PROVENANCE_ANNOTATION } from "../../model/objects.ts";
import { parseServiceKey, type ServiceKey } from "../../model/service.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { readNames } from "../names/names-annotation.ts";
import { silence } from "../objects/tombstones.ts";
import { sameValue } from "../same.ts";
import { standingStage } from "../stages/standing-stage.ts";
import type { IndexedStanding, StandingEntry } from "../standing.ts";
import type { Catalog, CatalogService } from "./catalog.ts";
import { fromEntry } from "./from-entry.ts";

/**
 * The catalog with the services past stage `outside` that no registry names: callers reach them inside by their old names, so they
 * are never tombstoned. One that a complete read no longer lists has no endpoint outside; one that could not be read is as it stands.
 */
export function keepMoved(
  catalog: Catalog,
  standing: IndexedStanding,
  memory: Pick<PlanMemory, "decision"> = planMemory(),
): Catalog {
  const moved = new Map<ServiceKey, string | undefined>();
  const services = new Map<ServiceKey, CatalogService>();
  for (const [key, entry] of standing.entries) {
    const authority = catalog.authorities.get(entry.registry);
    if (catalog.services.has(key) || authority === undefined || standingStage(entry).stage === "outside") continue;
    const why = catalog.failed.get(key) ?? (authority.state === "complete" ? undefined : silence(authority));
    const service = asService(key, entry, why);
    if (service === undefined) continue;
    const before = memory.decision?.catalog.services.get(key);
    services.set(key, before !== undefined && sameValue(before, service) ? before : service);
    moved.set(key, why);
  }
  return moved.size === 0 ? catalog : { ...catalog, services: new Map([...catalog.services, ...services]), moved };
}

function asService(key: ServiceKey, entry: StandingEntry, why: string | undefined): CatalogService | undefined {
  const parts = parseServiceKey(key);
  if (parts === undefined) return undefined;
  const { metadata, spec } = entry.manifest;
  const isGone = why === undefined;
  return {
    ...parts,
    // None of its own: those of the entry stay.
    ports: [],
    endpoints: isGone ? [] : (spec.endpoints ?? []).map((endpoint) => fromEntry(endpoint, new Map())),
    leftOut: [],
    metadata: {},
    legacyNames: readNames(metadata.annotations?.[NAMES_ANNOTATION]),
    aliasesOnly: true,
    source: isGone ? "which no longer lists it" : `which could not be read: ${why}`,
    notes: [],
    ...(isGone ? {} : provenanceOf(metadata.annotations?.[PROVENANCE_ANNOTATION])),
  };
}

function provenanceOf(annotation: string | undefined): Pick<CatalogService, "provenance"> {
  if (annotation === undefined) return {};
  const provenance = annotation.split(",").map((part) => {
    const [registry = "", count = ""] = part.split("=");
    return { registry, count: Number(count) };
  });
  return { provenance };
}
