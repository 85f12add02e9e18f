import type { EntryEndpoint } from "../../model/objects.ts";
import type { Endpoint } from "../../model/service.ts";

/** An endpoint as it stands, with its ports by the names that a service has for them. */
export function fromEntry(endpoint: EntryEndpoint, names: ReadonlyMap<string, string>): Endpoint {
  const [region, zone, subzone] = (endpoint.locality ?? "").split("/");
  const ports = Object.entries(endpoint.ports ?? {}).map(
    ([name, number]) => [names.get(name) ?? name, number] as const,
  );
  return {
    address: endpoint.address,
    ...(ports.length === 0 ? {} : { ports: Object.fromEntries(ports) }),
    ...(endpoint.weight === undefined ? {} : { weight: endpoint.weight }),
    ...(endpoint.labels === undefined ? {} : { labels: endpoint.labels }),
    ...(region ? { region } : {}),
    ...(zone ? { zone } : {}),
    ...(subzone ? { subzone } : {}),
    ...(endpoint.network === undefined ? {} : { network: endpoint.network }),
  };
}
