import { inSlices, type Sliced } from "../../async/slices.ts";
import { NAMES_ANNOTATION, type ObjectKey } from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { PlanMemory } from "../memory.ts";
import type { IndexedStanding, StandingEntry } from "../standing.ts";
import { readWrittenNames, type WrittenName } from "./names-annotation.ts";
import { claimOf, isBefore, type NameClaim } from "./precedence.ts";

/** Who holds which names. */
export interface Holders {
  /** Who keeps a host or legacy name that stands, or was given one in this pass. */
  readonly names: Map<string, ServiceKey>;
  /** The same of an alias, by its object key. */
  readonly aliases: Map<ObjectKey, ServiceKey>;
  /** On whose entries a host or legacy name stands, whether they keep it or not; the one that is answered first. */
  readonly stood: ReadonlyMap<string, readonly ServiceKey[]>;
}

/** Which of the names that stand on a service's objects it keeps if someone else is to have them. */
export interface Keeping {
  readonly name: (key: ServiceKey, name: string, isHost: boolean) => boolean;
  readonly alias: (key: ServiceKey, alias: ObjectKey) => boolean;
}

interface Stood extends NameClaim {
  readonly service: ServiceKey;
}

/** Who holds names and aliases as they stand. */
export function* standingHolders(standing: IndexedStanding, keeps: Keeping, memory: PlanMemory): Sliced<Holders> {
  const claims = new Map<string, Stood[]>();
  const add = (name: string, claim: Stood) => {
    const others = claims.get(name);
    if (others === undefined) claims.set(name, [claim]);
    else others.push(claim);
  };
  yield* inSlices(standing.entries, ([service, entry]) => {
    for (const host of entry.manifest.spec.hosts) add(host, { service, ...claimOf(entry, true) });
    for (const { name, since } of namesOn(entry, memory)) add(name, { service, ...claimOf(entry, false, since) });
  });
  const holders = { names: new Map<string, ServiceKey>(), aliases: new Map<ObjectKey, ServiceKey>() };
  const stood = new Map<string, readonly ServiceKey[]>();
  yield* inSlices(claims, ([name, all]) => {
    if (all.length > 1) all.sort((a, b) => (isBefore(a, b) ? -1 : 1));
    const services = all.map(({ service }) => service);
    stood.set(name, all.length > 1 ? [...new Set(services)] : services);
    const holder = all.find(({ service, isHost }) => keeps.name(service, name, isHost));
    if (holder !== undefined) holders.names.set(name, holder.service);
  });
  yield* inSlices(standing.objects.values(), ({ key, manifest, service }) => {
    if (manifest.kind === "Service" && service !== undefined && keeps.alias(service, key))
      holders.aliases.set(key, service);
  });
  return { ...holders, stood };
}

const NONE: readonly WrittenName[] = [];

/** The names that an entry's annotation gives. */
export function namesOn(entry: StandingEntry, { standingNames }: PlanMemory): readonly WrittenName[] {
  const annotation = entry.manifest.metadata.annotations?.[NAMES_ANNOTATION];
  if (annotation === undefined) return NONE;
  const known = standingNames.get(entry);
  if (known !== undefined) return known;
  const names = readWrittenNames(annotation);
  standingNames.set(entry, names);
  return names;
}
