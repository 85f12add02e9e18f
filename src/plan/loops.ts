import { BlockList } from "node:net";
import type { ServiceRead, Snapshot } from "../model/adapter.ts";
import type { Service } from "../model/service.ts";

/** Istio's own allocator gives addresses from these (istio/istio pilot/pkg/features/pilot.go). */
const ISTIO_RANGES = ["240.240.0.0/16", "2001:2::/48"];
const REASON = "is in a range of VIPs: a call to it would come back into the mesh";

/**
 * Take endpoints out of snapshots whose address is a VIP, or may become one: a call to such an endpoint would go round in the
 * mesh for ever. Everything else keeps its identity.
 *
 * @param ranges CIDRs of VIPs
 */
export function withoutLoops(ranges: readonly string[]): (snapshot: Snapshot) => Snapshot {
  const vips = new BlockList();
  for (const range of [...ranges, ...ISTIO_RANGES]) {
    const [network = "", prefix] = range.split("/");
    vips.addSubnet(network, Number(prefix), network.includes(":") ? "ipv6" : "ipv4");
  }
  const isVip = (address: string) => vips.check(address, address.includes(":") ? "ipv6" : "ipv4");
  const cleaned = new WeakMap<ServiceRead, ServiceRead>();
  const services = new WeakMap<Service, Service>();

  function cleanService(service: Service): Service {
    const looping = service.endpoints.filter(({ address }) => isVip(address));
    if (looping.length === 0) return service;
    const left = looping.map(({ address }) => ({ address, kind: "address" as const, reason: REASON }));
    const endpoints = service.endpoints.filter((endpoint) => !looping.includes(endpoint));
    return { ...service, endpoints, leftOut: [...service.leftOut, ...left] };
  }

  function clean(read: ServiceRead): ServiceRead {
    const known = cleaned.get(read);
    if (known !== undefined || read.state !== "ok") return known ?? read;
    const service = services.get(read.service) ?? cleanService(read.service);
    services.set(read.service, service);
    const now = service === read.service ? read : { ...read, service };
    cleaned.set(read, now);
    return now;
  }

  return (snapshot) => {
    const reads = snapshot.services.map(clean);
    return reads.every((read, at) => read === snapshot.services[at]) ? snapshot : { ...snapshot, services: reads };
  };
}
