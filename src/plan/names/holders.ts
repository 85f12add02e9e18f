import { inSlices, type Sliced } from "../../async/slices.ts";
import { NAMES_ANNOTATION, type ObjectKey } from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { PlanMemory } from "../memory.ts";
import type { IndexedStanding, StandingEntry } from "../standing.ts";
import { readNames } from "./names-annotation.ts";

/** Who holds which names in the target. */
export interface Holders {
  /** Of a host or legacy name. */
  readonly names: Map<string, ServiceKey>;
  /** Of an alias, by its object key. */
  readonly aliases: Map<ObjectKey, ServiceKey>;
}

/** Who holds names and aliases as they stand. A host counts before a legacy name. */
export function* standingHolders(standing: IndexedStanding, memory: PlanMemory): Sliced<Holders> {
  const holders: Holders = { names: new Map(), aliases: new Map() };
  const further: (readonly [ServiceKey, readonly string[]])[] = [];
  yield* inSlices(standing.entries, ([key, entry]) => {
    for (const host of entry.manifest.spec.hosts) holders.names.set(host, key);
    const names = namesOn(entry, memory);
    if (names.length > 0) further.push([key, names]);
  });
  for (const [key, names] of further)
    for (const name of names) if (!holders.names.has(name)) holders.names.set(name, key);
  yield* inSlices(standing.objects.values(), ({ key, manifest, service }) => {
    if (manifest.kind === "Service" && service !== undefined) holders.aliases.set(key, service);
  });
  return holders;
}

const NONE: readonly string[] = [];

/** The names that an entry's annotation gives. */
export function namesOn(entry: StandingEntry, { standingNames }: PlanMemory): readonly string[] {
  const annotation = entry.manifest.metadata.annotations?.[NAMES_ANNOTATION];
  if (annotation === undefined) return NONE;
  const known = standingNames.get(entry);
  if (known !== undefined) return known;
  const names = readNames(annotation);
  standingNames.set(entry, names);
  return names;
}
