import type { ServiceRead, Snapshot } from "../../model/adapter.ts";
import type { Endpoint } from "../../model/service.ts";

/**
 * Say of endpoints which network they are in, by their region, where the adapter does not say it. What is not changed keeps its identity,
 * and the same read gives the same object.
 *
 * @param networks by region; `*` for all others
 */
export function placeInNetworks(networks: Readonly<Record<string, string>>): (snapshot: Snapshot) => Snapshot {
  const placed = new WeakMap<object, ServiceRead>();
  const networkOf = ({ region = "" }: Endpoint) => (Object.hasOwn(networks, region) ? networks[region] : networks["*"]);

  function place(read: ServiceRead): ServiceRead {
    if (read.state !== "ok") return read;
    const before = placed.get(read.service);
    if (before !== undefined) return before;
    const endpoints = read.service.endpoints.map((one): Endpoint => {
      const network = one.network ?? networkOf(one);
      return network === undefined || network === one.network ? one : { ...one, network };
    });
    const isSame = endpoints.every((one, at) => one === read.service.endpoints[at]);
    const now: ServiceRead = isSame ? read : { state: "ok", service: { ...read.service, endpoints } };
    placed.set(read.service, now);
    return now;
  }

  return (snapshot) => ({ ...snapshot, services: snapshot.services.map(place) });
}
