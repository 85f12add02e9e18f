import { GONE_SINCE_ANNOTATION } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { RegistrySettings } from "../../model/settings.ts";
import type { IndexedStanding } from "../standing.ts";
import type { Catalog, CatalogService } from "./catalog.ts";

/** A catalog within the limits of its registries. */
export interface Limited {
  readonly catalog: Catalog;
  /** Services that their registry lists and that have no place. */
  readonly beyond: ReadonlyMap<ServiceKey, CatalogService>;
}

/** How many services may stand, by registry. */
export type ServiceLimits = ReadonlyMap<string, number>;

/** The limits of registries of which all services stand, or of those that run on demand. */
export function serviceLimits(registries: readonly RegistrySettings[], of: "all" | "reported"): ServiceLimits {
  return new Map(
    registries.flatMap(({ name, demand = "all", maxServices }) =>
      maxServices === undefined || demand !== of ? [] : [[name, maxServices]],
    ),
  );
}

/**
 * Leave out what is beyond the limit of a registry: what stands keeps its place, then services have theirs by their keys. One that is gone
 * has no place, though its entry still stands for a while; one that may be there, as its registry cannot be read, has.
 */
export function limitServices(catalog: Catalog, standing: IndexedStanding, limits: ServiceLimits): Limited {
  const beyond = new Map<ServiceKey, CatalogService>();
  if (limits.size === 0) return { catalog, beyond };
  const used = placesOfUnread(catalog, standing, limits);
  const fresh: ServiceKey[] = [];
  for (const [key, { registry }] of catalog.services) {
    if (!limits.has(registry)) continue;
    if (standing.entries.has(key) || standing.premadeOf.has(key)) used.set(registry, (used.get(registry) ?? 0) + 1);
    else fresh.push(key);
  }
  for (const [registry, keys] of Map.groupBy(fresh, (key) => catalog.services.get(key)?.registry ?? "")) {
    const places = Math.max(0, (limits.get(registry) ?? 0) - (used.get(registry) ?? 0));
    for (const key of keys.length > places ? keys.sort().slice(places) : []) {
      const service = catalog.services.get(key);
      if (service !== undefined) beyond.set(key, service);
    }
  }
  if (beyond.size === 0) return { catalog, beyond };
  const services = new Map([...catalog.services].filter(([key]) => !beyond.has(key)));
  return { catalog: { ...catalog, services }, beyond };
}

/** By registry, how many of its services stand that no read named, and that nobody can say are gone. */
function placesOfUnread(catalog: Catalog, standing: IndexedStanding, limits: ServiceLimits): Map<string, number> {
  const places = new Map<string, number>();
  for (const [key, { registry, manifest }] of standing.entries) {
    if (!limits.has(registry) || catalog.services.has(key)) continue;
    const isListed = catalog.failed.has(key);
    const isUnsure =
      catalog.authorities.get(registry)?.state !== "complete" &&
      manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION] === undefined;
    if (isListed || isUnsure) places.set(registry, (places.get(registry) ?? 0) + 1);
  }
  return places;
}

/** One hold for each registry that lists more than its limit. */
export function limitHolds(beyond: Limited["beyond"], registries: readonly RegistrySettings[]): readonly Hold[] {
  if (beyond.size === 0) return [];
  const byRegistry = Map.groupBy(beyond, ([, { registry }]) => registry);
  return registries.flatMap(({ name: registry, maxServices }): readonly Hold[] => {
    const keys = (byRegistry.get(registry) ?? []).map(([key]) => key).sort();
    if (keys.length === 0) return [];
    const which = keys.length === 1 ? `service ${keys[0]} is` : `${keys.length} services, such as ${keys[0]}, are`;
    const message = `${which} left out: maxServices of registry ${registry} is ${maxServices}`;
    return [{ reason: "limit", subject: registry, service: undefined, services: keys, registry, message }];
  });
}
