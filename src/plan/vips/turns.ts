import { type AddressRange, addressRange } from "../../istio/addresses.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { RegistrySettings } from "../../model/settings.ts";

/** One address family with the ranges that a registry's new VIPs come from. */
export interface Family {
  readonly family: "v4" | "v6";
  readonly ranges: readonly AddressRange[];
}

/** A host that wants an address. The service is empty where nobody can tell it. */
export interface Claimant {
  readonly host: string;
  readonly service: ServiceKey;
}

type Registry = Pick<RegistrySettings, "name" | "ranges">;

/** By the order of registries, then by service: whoever registers early names in one cannot be served before another registry. */
export function inOrder<One extends Claimant>(
  claimants: readonly One[],
  registries: readonly Registry[],
): readonly One[] {
  const places = new Map(registries.map(({ name }, at) => [name, at]));
  const placeOf = ({ service }: Claimant) => places.get(registryOfKey(service)) ?? registries.length;
  return claimants.toSorted(
    (a, b) => placeOf(a) - placeOf(b) || compare(a.service, b.service) || compare(a.host, b.host),
  );
}

/** By registry, the families of its VIPs, IPv4 first: out of its own ranges where it has some. */
export function familiesByRegistry({
  ranges,
  registries,
}: {
  readonly ranges: readonly string[];
  readonly registries: readonly Registry[];
}): (registry: string) => readonly Family[] {
  const shared = familiesOf(ranges);
  const own = new Map(
    registries.flatMap((one) => (one.ranges === undefined ? [] : [[one.name, familiesOf(one.ranges)]])),
  );
  return (registry) => own.get(registry) ?? shared;
}

function familiesOf(ranges: readonly string[]): readonly Family[] {
  const byFamily = Map.groupBy(ranges.map(addressRange), ({ family }) => family);
  return [...byFamily].map(([family, list]) => ({ family, ranges: list })).sort((a, b) => compare(a.family, b.family));
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
