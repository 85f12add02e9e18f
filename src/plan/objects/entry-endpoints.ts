import { entryPort } from "../../istio/ports.ts";
import type { EntryEndpoint, EntryPort } from "../../model/objects.ts";
import type { Endpoint } from "../../model/service.ts";
import type { CatalogService } from "../catalog/catalog.ts";

/** A service's endpoints as they stand on an entry, in a stable order, so that a registry that answers in random order causes no write. */
export function entryEndpoints(service: CatalogService, ports: readonly EntryPort[]): readonly EntryEndpoint[] {
  const portNames = new Map(ports.map(({ name }) => [name, name]));
  for (const port of service.ports) portNames.set(port.name, entryPort(port).name);
  const mapped = service.endpoints.map((endpoint) => entryEndpoint(endpoint, portNames));
  if (service.provenance === undefined) return mapped.sort(byAddress);
  let start = 0;
  return service.provenance.flatMap(({ count }) => {
    const part = mapped.slice(start, start + count).sort(byAddress);
    start += count;
    return part;
  });
}

function byAddress(a: EntryEndpoint, b: EntryEndpoint): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  const [left, right] = [JSON.stringify(a.ports ?? {}), JSON.stringify(b.ports ?? {})];
  return left < right ? -1 : left > right ? 1 : 0;
}

function entryEndpoint(endpoint: Endpoint, portNames: ReadonlyMap<string, string>): EntryEndpoint {
  const ports = Object.entries(endpoint.ports ?? {}).flatMap(([name, number]) => {
    const known = portNames.get(name);
    return known === undefined ? [] : [[known, number] as const];
  });
  const labels = endpoint.labels ?? {};
  const locality = [endpoint.region, endpoint.zone, endpoint.subzone];
  const depth = locality.indexOf(undefined);
  return {
    address: endpoint.address,
    ...(ports.length === 0 ? {} : { ports: Object.fromEntries(ports) }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    // A zone counts only within a region, a subzone only within a zone.
    ...(depth === 0 ? {} : { locality: locality.slice(0, depth === -1 ? 3 : depth).join("/") }),
    ...(endpoint.weight === undefined ? {} : { weight: endpoint.weight }),
    ...(endpoint.network === undefined ? {} : { network: endpoint.network }),
  };
}
