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

const NO_MARK = { metadata: { name: "", namespace: "" } };

/** The changes that write the mark of a registry on the first of the entries that are kept, sorted by key, and on those that have one. */
export function heldMarks(kept: readonly StandingEntry[], held: HeldServices): readonly Update[] {
  const marked = kept.filter(({ manifest }, at) => at < MOST_MARKED || readHeldServices(manifest) !== undefined);
  return marked.flatMap((entry) => updateOf(entry, withHeldServices(entry.manifest, held)));
}

/** The plan with the changes that write marks, sorted as plans are; what is changed otherwise, too, has the mark beside that. */
export function withMarks(plan: Plan, marks: readonly Update[]): Plan {
  if (marks.length === 0) return plan;
  const left = new Map(marks.map((change) => [change.object.key, change]));
  const update = plan.update.map((change): Update => {
    const held = readHeldServices(left.get(change.object.key)?.object.manifest ?? NO_MARK);
    if (!left.delete(change.object.key) || held === undefined) return change;
    const manifest = withHeldServices(change.object.manifest as ServiceEntry, held);
    return { ...change, object: { ...change.object, manifest } };
  });
  const all = [...update, ...left.values()].sort((a, b) => (a.object.key < b.object.key ? -1 : 1));
  return { ...plan, update: all, unchanged: plan.unchanged - left.size };
}

function updateOf(standing: StandingEntry, manifest: ServiceEntry): readonly Update[] {
  if (sameValue(manifest, standing.manifest)) return [];
  const { key, service, registry } = standing;
  return [{ kind: "update", object: { key, service, registry, manifest }, standing }];
}
