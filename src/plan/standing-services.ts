import { GONE_SINCE_ANNOTATION, PROVENANCE_ANNOTATION, type ServiceEntry } from "../model/objects.ts";
import { parseServiceKey, type ServiceKey, serviceKey } from "../model/service.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import { isInside } from "./stages/standing-stage.ts";
import { isEntry } from "./standing.ts";

/**
 * Services of a registry that stand and that a read could take something from: neither tombstones nor such that are inside.
 *
 * @param group registries that are merged: what stands under the first is asked of those that its endpoints came from
 */
export function standingServices(
  { objects, premade }: Pick<Standing, "objects" | "premade">,
  registry: string,
  group: readonly string[],
): readonly ServiceKey[] {
  const isMember = group.includes(registry);
  const owner = isMember ? group[0] : registry;
  const keys = new Set<ServiceKey>();
  for (const entry of [...objects.values()].filter(isEntry)) {
    if (entry.registry !== owner || isGone(entry) || isInside(entry)) continue;
    if (isMember && !isFrom(entry, registry)) continue;
    keys.add(entry.service);
  }
  for (const { service, manifest, yielded, registry: of } of premade.values())
    if (service !== undefined && of === owner && yielded === undefined && hasEndpoints(manifest)) keys.add(service);
  return isMember ? [...keys].flatMap((key) => underName(key, registry)) : [...keys];
}

function isGone({ manifest }: StandingObject): boolean {
  return manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION] !== undefined;
}

function hasEndpoints({ spec }: ServiceEntry): boolean {
  return (spec.endpoints ?? []).length > 0;
}

/** Whether endpoints of an entry may have come from a registry: an entry that does not say it may have any from anyone. */
function isFrom({ manifest }: StandingObject, registry: string): boolean {
  const from = manifest.metadata.annotations?.[PROVENANCE_ANNOTATION];
  return from === undefined || from.split(",").some((part) => part.split("=")[0]?.split("+").includes(registry));
}

function underName(key: ServiceKey, registry: string): readonly ServiceKey[] {
  const parts = parseServiceKey(key);
  return parts === undefined ? [] : [serviceKey(registry, parts.namespace, parts.name)];
}
