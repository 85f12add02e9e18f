import {
  type EntryEndpoint,
  type EntryPort,
  type OwnedObject,
  type ServiceEntry,
  SUCCEEDED_BY_ANNOTATION,
} from "../../model/objects.ts";
import { ownPort, type ServiceKey } from "../../model/service.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Move } from "../names/naming.ts";
import { isGone } from "../names/tenure.ts";
import type { IndexedStanding } from "../standing.ts";

/** The service that took over the names of one that is gone. */
export interface Heir {
  readonly service: ServiceKey;
  /** Its own, by the ports of the one that is gone. */
  readonly endpoints: readonly EntryEndpoint[];
}

/** What heirs are found by. */
export interface HeirGround {
  readonly catalog: Pick<Catalog, "services" | "failed" | "authorities" | "pruned">;
  readonly standing: Pick<IndexedStanding, "entries">;
  /** By service, what is another's with this pass. */
  readonly movesFrom: ReadonlyMap<ServiceKey, readonly Move[]>;
  /** What should stand of listed services. */
  readonly objects: ReadonlyMap<ServiceKey, readonly OwnedObject[]>;
}

/**
 * Who took over the names of a service that is gone, so that callers who keep its VIP reach it. Its entry says so from then on. Where
 * several took some, it is the one that has an endpoint of it; without one it has no heir, as nobody knows whom a caller means. An heir
 * that is gone, too, is followed by its own.
 */
export function heirOf(key: ServiceKey, ground: HeirGround): Heir | undefined {
  const { standing, objects } = ground;
  const ports = standing.entries.get(key)?.manifest.spec.ports ?? [];
  const seen = new Set<ServiceKey>();
  for (
    let next: ServiceKey | undefined = key;
    next !== undefined && !seen.has(next);
    next = successorOf(next, ground)
  ) {
    if (seen.size > 0 && !isGone(next, ground.catalog)) {
      const made: OwnedObject["manifest"] | undefined = objects.get(next)?.[0]?.manifest;
      const entry = made?.kind === "ServiceEntry" ? made : standing.entries.get(next)?.manifest;
      return { service: next, endpoints: entry === undefined ? [] : endpointsOn(ports, entry) };
    }
    seen.add(next);
  }
  return undefined;
}

function successorOf(key: ServiceKey, ground: HeirGround): ServiceKey | undefined {
  const known = ground.standing.entries.get(key)?.manifest.metadata.annotations?.[SUCCEEDED_BY_ANNOTATION];
  if (known !== undefined && !isGone(known, ground.catalog)) return known;
  return takerOf(key, ground) ?? known;
}

function takerOf(key: ServiceKey, { catalog, standing, movesFrom }: HeirGround): ServiceKey | undefined {
  const takers = [...new Set((movesFrom.get(key) ?? []).map(({ to }) => to))];
  if (takers.length <= 1) return takers[0];
  const stood = new Set((standing.entries.get(key)?.manifest.spec.endpoints ?? []).map(({ address }) => address));
  const shares = (taker: ServiceKey) =>
    catalog.services.get(taker)?.endpoints.some(({ address }) => stood.has(address)) === true;
  const [only, ...more] = takers.filter(shares);
  return more.length === 0 ? only : undefined;
}

/** The endpoints of an entry for callers of these ports: the one of the same name, or number, or the only one. */
export function endpointsOn(ports: readonly EntryPort[], { spec }: ServiceEntry): readonly EntryEndpoint[] {
  const pairs = ports.flatMap((port): readonly (readonly [EntryPort, EntryPort])[] => {
    const [only] = ports.length === 1 && spec.ports.length === 1 ? spec.ports : [];
    const same =
      spec.ports.find(({ name }) => name === port.name) ??
      spec.ports.find(({ number }) => number === port.number) ??
      only;
    return same === undefined ? [] : [[port, same]];
  });
  if (pairs.length === 0) return [];
  return (spec.endpoints ?? []).map(({ ports: own, ...endpoint }) => {
    const overrides = pairs.flatMap(([port, { name, number, targetPort }]) => {
      const answersOn = ownPort({ ports: own }, name) ?? targetPort ?? number;
      return answersOn === (port.targetPort ?? port.number) ? [] : [[port.name, answersOn] as const];
    });
    return overrides.length === 0 ? endpoint : { ...endpoint, ports: Object.fromEntries(overrides) };
  });
}
