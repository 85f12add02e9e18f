import { lowerCase } from "../../istio/lower-case.ts";
import type { ServiceRead, Snapshot } from "../../model/adapter.ts";
import { parseServiceKey, type Service, type ServiceKey, serviceKey } from "../../model/service.ts";
import type { PlanMemory } from "../memory.ts";
import type { IndexedStanding } from "../standing.ts";
import type { Reading } from "./catalog.ts";

/**
 * The readings, with services of registries that compare names without case by the names that stand: `Cache` goes on to be `Cache`
 * when the registry calls it `cache`.
 *
 * @param group registries that are merged: their services stand under the first
 */
export function keepSpelling(
  readings: ReadonlyMap<string, Reading>,
  standing: Pick<IndexedStanding, "entries" | "premadeOf">,
  group: readonly string[],
  memory: Pick<PlanMemory, "respelled">,
): ReadonlyMap<string, Reading> {
  const kept = new Map<string, Reading>();
  for (const [registry, reading] of readings) {
    const isCaseless = reading.state === "read" && reading.snapshot.caseless === true;
    const [primary = registry] = group.includes(registry) ? group : [];
    kept.set(
      registry,
      isCaseless ? { ...reading, snapshot: spelledAs(reading.snapshot, primary, standing, memory) } : reading,
    );
  }
  return kept;
}

function spelledAs(
  snapshot: Snapshot,
  registry: string,
  { entries, premadeOf }: Pick<IndexedStanding, "entries" | "premadeOf">,
  { respelled }: Pick<PlanMemory, "respelled">,
): Snapshot {
  let names: ReadonlyMap<string, string> | undefined;
  const spell = ({ namespace, name }: Pick<Service, "namespace" | "name">): string => {
    const key = serviceKey(registry, namespace, name);
    if (entries.has(key) || premadeOf.has(key)) return name;
    // What somebody wrote by hand asks for a service by its name, whether or not an entry of ours stands, too.
    names ??= standingNames([...premadeOf.keys(), ...entries.keys()], registry);
    return names.get(`${namespace}/${lowerCase(name)}`) ?? name;
  };
  return { ...snapshot, services: snapshot.services.map(called) };

  function called(read: ServiceRead): ServiceRead {
    const of = read.state === "ok" ? read.service : parseServiceKey(read.key);
    const name = of === undefined ? "" : spell(of);
    if (of === undefined || name === of.name) return read;
    if (read.state === "failed") return { ...read, key: serviceKey(snapshot.registry, of.namespace, name) };
    const known = respelled.get(read.service);
    const service = known?.name === name ? known : { ...read.service, name };
    respelled.set(read.service, service);
    return { ...read, service };
  }
}

/** Namespace and name in lower case → the name as it stands. */
function standingNames(keys: Iterable<ServiceKey>, registry: string): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const key of keys) {
    const parts = parseServiceKey(key);
    if (parts?.registry === registry) names.set(`${parts.namespace}/${lowerCase(parts.name)}`, parts.name);
  }
  return names;
}
