import { parseServiceKey, type ServiceKey } from "../model/service.ts";
import type { Settings } from "../model/settings.ts";
import type { Decision } from "./decision.ts";
import { isNews } from "./demand.ts";

/** Whether a service is listed, or stands. */
export function knows({ catalog, undemanded, standing }: Decision, service: ServiceKey): boolean {
  return catalog.services.has(service) || undemanded.has(service) || standing.entries.has(service);
}

/**
 * Whether a question of that time calls for a pass: the service runs on demand and does not stand, or its entry is to say so.
 *
 * @param ttlMs by registry, of those that run on demand
 */
export function isStillNews(
  { standing }: Pick<Decision, "standing">,
  service: ServiceKey,
  askedMs: number,
  ttlMs: ReadonlyMap<string, number>,
): boolean {
  const registryTtlMs = ttlMs.get(parseServiceKey(service)?.registry ?? "");
  return registryTtlMs !== undefined && isNews(standing.entries.get(service), askedMs, registryTtlMs);
}

/** By registry that runs on demand, how long its services stand after they were asked for last. */
export function demandTtls(registries: Settings["registries"]): ReadonlyMap<string, number> {
  return new Map(
    registries.flatMap(({ name, demand, demandTtlMs }) =>
      demand === "reported" ? [[name, demandTtlMs ?? DEMAND_TTL_MS]] : [],
    ),
  );
}

const DEMAND_TTL_MS = 30 * 86_400_000;

/** By registry, how many services are to stand and how many are only known. */
export function demandCounts(
  { catalog, undemanded }: Pick<Decision, "catalog" | "undemanded">,
  registries: Iterable<string>,
): ReadonlyMap<string, { readonly demanded: number; readonly known: number }> {
  const counts = new Map([...registries].map((registry) => [registry, { demanded: 0, known: 0 }]));
  if (counts.size === 0) return counts;
  for (const { registry } of catalog.services.values()) {
    const count = counts.get(registry);
    if (count !== undefined) count.demanded++;
  }
  for (const { registry } of undemanded.values()) {
    const count = counts.get(registry);
    if (count !== undefined) count.known++;
  }
  return counts;
}
