import type { WaitingName } from "../../model/name-table.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import type { Naming, ServiceNames } from "./naming.ts";

/** Names of services that stand only on demand, and what they were made of. */
export interface WaitingNames {
  readonly rows: readonly WaitingName[];
  readonly of: ReadonlyMap<ServiceKey, ServiceNames>;
}

/** What a decision knows of services. */
export interface KnownServices {
  readonly catalog: Pick<Catalog, "services">;
  readonly undemanded: ReadonlyMap<ServiceKey, CatalogService>;
  readonly naming: Pick<Naming, "services">;
}

/**
 * The names by which somebody may ask for the services of registries that run on demand, whether they stand or not: a name of one
 * whose entry goes is to be denied at no moment. The same ones are the same object.
 *
 * @param reported registries that run on demand
 * @param previous what this gave before
 */
export function waitingNames(
  { catalog, undemanded, naming }: KnownServices,
  reported: ReadonlySet<string>,
  previous: WaitingNames = { rows: [], of: new Map() },
): WaitingNames {
  const of = new Map<ServiceKey, ServiceNames>();
  let isSame = true;
  for (const [key, { registry }] of [...catalog.services, ...undemanded]) {
    if (!reported.has(registry)) continue;
    const names = naming.services.get(key);
    if (names === undefined) continue;
    of.set(key, names);
    isSame &&= previous.of.get(key) === names;
  }
  if (isSame && of.size === previous.of.size) return previous;
  const rows: WaitingName[] = [];
  for (const [service, { host, legacyNames }] of of) {
    for (const name of [host, ...legacyNames.map((one) => one.name)]) rows.push({ name, host, service });
  }
  return { rows, of };
}
