import { specWith } from "../../istio/host-names.ts";
import { GONE_SINCE_ANNOTATION, type ServiceEntry, SUCCEEDED_BY_ANNOTATION } from "../../model/objects.ts";
import type { Plan, Update } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import { endpointsOn } from "../objects/heirs.ts";
import { sameValue } from "../same.ts";
import type { IndexedStanding } from "../standing.ts";
import { entryOf, mark } from "./changes.ts";

/**
 * The plan with entries of services that are gone leading to what their heirs have with this plan: a brake that keeps an heir's endpoints
 * keeps them there, too.
 *
 * @param held services of which something is held
 */
export function followHeirs(
  plan: Plan,
  { entries }: Pick<IndexedStanding, "entries">,
  held: ReadonlySet<ServiceKey | undefined>,
): Plan {
  if (held.size === 0) return plan;
  const heirOf = (manifest: ServiceEntry | undefined) =>
    manifest === undefined || mark(manifest, GONE_SINCE_ANNOTATION) === undefined
      ? undefined
      : mark(manifest, SUCCEEDED_BY_ANNOTATION);
  const written = new Map(plan.update.map((change) => [change.object.key, entryOf(change)]));
  const follow = (change: Update): readonly Update[] => {
    const manifest = entryOf(change);
    const heir = heirOf(manifest);
    if (manifest === undefined || !held.has(heir)) return [change];
    const entry = entries.get(heir ?? "");
    const now = entry === undefined ? undefined : (written.get(entry.key) ?? entry.manifest);
    if (now === undefined) return [change];
    const kept = { ...manifest, spec: specWith(manifest.spec, endpointsOn(manifest.spec.ports, now)) };
    const isSame = sameValue(kept, change.standing.manifest);
    return isSame ? [] : [{ ...change, object: { ...change.object, manifest: kept } }];
  };
  const update = plan.update.flatMap(follow);
  return { ...plan, update, unchanged: plan.unchanged + plan.update.length - update.length };
}
