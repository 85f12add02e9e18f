import type { Endpoint } from "../model/service.ts";

/**
 * How many endpoints of a service each address has that has more than one. Of these ztunnel knows one only, as it tells
 * endpoints of a service by their address (istio pilot/pkg/serviceregistry/ambient).
 */
export function sharedAddresses(
  endpoints: readonly Endpoint[],
): readonly (readonly [address: string, count: number])[] {
  const counts = new Map<string, number>();
  for (const { address } of endpoints) counts.set(address, (counts.get(address) ?? 0) + 1);
  return [...counts].filter(([, count]) => count > 1);
}
