import type { ServiceEntry } from "../../model/objects.ts";
import type { Plan, Update } from "../../model/plan.ts";
import { sameValue } from "../same.ts";
import type { StandingEntry } from "../standing.ts";
import { type HeldServices, readHeldServices, withHeldServices } from "./marks.ts";

/** So many entries carry the mark of their registry: not all of them return in one pass, unless the registry does. */
const MOST_MARKED = 8;

/** Since when services of a registry have been kept, as it stands on its entries: of several times the last. */
export function standingHeld(entries: readonly StandingEntry[], nowMs: number): HeldServices | undefined {
  const marks = entries.flatMap(({ manifest }) => readHeldServices(manifest) ?? []);
  // A time to come is not ours: nothing would ever end by it.
  return marks.filter(({ atMs }) => atMs <= nowMs).sort((a, b) => b.atMs - a.atMs)[0];
}

/** The changes that write the mark of a registry on the first of the entries that are kept, sorted by key, and on those that have one. */
export function heldMarks(kept: readonly StandingEntry[], held: HeldServices): readonly Update[] {
  const marked = kept.filter(({ manifest }, at) => at < MOST_MARKED || readHeldServices(manifest) !== undefined);
  return marked.flatMap((entry) => updateOf(entry, withHeldServices(entry.manifest, held)));
}

/** The plan with further updates, sorted as plans are. */
export function withUpdates(plan: Plan, more: readonly Update[]): Plan {
  if (more.length === 0) return plan;
  const update = [...plan.update, ...more].sort((a, b) => (a.object.key < b.object.key ? -1 : 1));
  return { ...plan, update };
}

function updateOf(standing: StandingEntry, manifest: ServiceEntry): readonly Update[] {
  if (sameValue(manifest, standing.manifest)) return [];
  const { key, service, registry } = standing;
  return [{ kind: "update", object: { key, service, registry, manifest }, standing }];
}
