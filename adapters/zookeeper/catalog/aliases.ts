import { isServiceName } from "../../../src/istio/limits.ts";
import type { ServiceAlias } from "../../../src/model/service.ts";
import type { Part, Parts } from "./parts.ts";

/** An application has dozens of interfaces; every one is a name that templates are filled with. */
const MOST_ALIASES = 256;

/** Names in this namespace that are not the service's own, in their order. */
export function aliases(namespace: string, service: string, names: Iterable<string>): readonly ServiceAlias[] {
  return [...new Set(names)]
    .filter((name) => name !== service && isServiceName(name))
    .sort()
    .slice(0, MOST_ALIASES)
    .map((name) => ({ namespace, name }));
}

/** Interfaces that most addresses of an application offer: one instance alone cannot take a name for all. */
export function interfacesOffered(service: string, parts: Parts): readonly string[] {
  const places = [...parts.nodesOf(service)].map((node) => [node, addressesIn(parts.all.get(node), service)] as const);
  const all = new Set(places.flatMap(([, own]) => [...own])).size;
  return places.filter(([, { size }]) => 2 * size > all).map(([node]) => node);
}

function addressesIn(part: Part | undefined, service: string): ReadonlySet<string> {
  const judged = part?.state === "ok" ? (part.offers.get(service) ?? []) : [];
  return new Set(judged.flatMap(({ instance }) => (instance === undefined ? [] : [instance.address])));
}
