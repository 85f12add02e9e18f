import { EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION, type ServiceEntry } from "../../model/objects.ts";
import type { Brake, Change, Plan, Update } from "../../model/plan.ts";
import type { PremadeEntry, StandingObject } from "../../model/standing.ts";
import type { Authority } from "../catalog/catalog.ts";
import { isInside } from "../stages/standing-stage.ts";
import { type IndexedStanding, isExposure, type StandingEntry } from "../standing.ts";
import {
  count,
  endpointsOf,
  entryOf,
  isApart,
  isSucceeded,
  isVanishing,
  mark,
  type PolicyOptions,
  registryOf,
  withheld,
} from "./changes.ts";

/** The plan without what would empty or delete too many services of a registry. */
export function brakeServices(
  plan: Plan,
  standing: IndexedStanding,
  authorities: ReadonlyMap<string, Authority>,
  options: PolicyOptions,
  brakes: Brake[],
): Plan {
  const total = new Map<string, number>();
  const marked = new Map<string, number>();
  // A service that is back with this plan is no loss any more.
  const returning = new Set(plan.update.filter(isReturn).map(({ standing: { key } }) => key));
  for (const entry of standing.entries.values()) {
    if (isInside(entry) || isSucceeded(entry.manifest)) continue;
    count(total, entry.registry);
    if (isRecentLoss(entry, options) && !returning.has(entry.key)) count(marked, entry.registry);
  }
  for (const entry of [...standing.premadeOf.values()].flat()) {
    if (entry.isApart === true) continue;
    count(total, entry.registry);
    if (isRecentlyEmptied(entry, options) && !returning.has(entry.key)) count(marked, entry.registry);
  }
  const losses = plan.update.filter((change) => isLoss(change) && !isInside(change.standing));
  const expired = plan.delete.filter(
    (change) =>
      // What leads callers in from outside goes with its line in the configuration, whatever a registry says.
      !isExposure(change.standing) && isGoneFor(standing.entries.get(change.standing.service ?? "")),
  );
  const held = new Set<Change>();
  const messages = new Map<string, string>();
  for (const registry of new Set([...losses, ...expired].map(registryOf))) {
    if (options.allowDeletes.has(registry)) continue;
    const fresh = losses.filter((change) => registryOf(change) === registry);
    const counted = fresh.filter((change) => !isApart(change));
    const uncounted = counted.filter((change) => !isRecentLoss(change.standing, options));
    const lost = uncounted.length + (marked.get(registry) ?? 0);
    const all = total.get(registry) ?? 0;
    const isEmptyList = authorities.get(registry)?.listed === 0 && counted.length > 0;
    const isPast = lost > options.minDeletes && lost * 100 > options.maxDeletePercent * all;
    if (!isEmptyList && !isPast) continue;
    const message = isEmptyList
      ? `brake: registry ${registry} lists no service any more, ${all} stand`
      : `brake: ${lost} of ${all} services of registry ${registry} vanished or lost their last endpoint, more than ${options.maxDeletePercent} %`;
    brakes.push({ registry, kind: "services", message });
    messages.set(registry, `${message}; x2istio apply --allow-deletes ${registry} releases it`);
    for (const change of [...fresh, ...expired.filter((one) => registryOf(one) === registry)]) held.add(change);
  }
  return withheld(plan, held, "brake", (change) => messages.get(registryOf(change)) ?? "");
}

/** A service that vanishes (also after it was emptied) or loses its last endpoint with this change. */
function isLoss(change: Update): boolean {
  const entry = entryOf(change);
  if (entry === undefined) return false;
  if (change.premade !== undefined)
    return endpointsOf(entry).length === 0 && endpointsOf(change.standing.manifest as ServiceEntry).length > 0;
  const marks = [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION];
  const isEmptied =
    mark(change.object.manifest, EMPTY_SINCE_ANNOTATION) !== undefined &&
    marks.every((name) => mark(change.standing.manifest, name) === undefined);
  return (isVanishing(change) && !isSucceeded(change.object.manifest)) || isEmptied;
}

function isReturn({ object, premade }: Update): boolean {
  if (premade !== undefined) return endpointsOf(object.manifest as ServiceEntry).length > 0;
  return [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION].every((name) => mark(object.manifest, name) === undefined);
}

/** Whether it is of a service that is gone and that no other one has succeeded. */
function isGoneFor(entry: StandingEntry | undefined): boolean {
  return (
    entry !== undefined && mark(entry.manifest, GONE_SINCE_ANNOTATION) !== undefined && !isSucceeded(entry.manifest)
  );
}

function isRecentLoss({ manifest }: StandingObject, options: PolicyOptions): boolean {
  return [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION].some((name) => {
    const since = Date.parse(mark(manifest, name) ?? "");
    return since > options.nowMs - options.keepEmptyMs;
  });
}

/** Nothing of ours but ports and endpoints may stand on such an entry: that it has none since our last write is the mark. */
function isRecentlyEmptied({ manifest, writtenMs }: PremadeEntry, options: PolicyOptions): boolean {
  return (
    endpointsOf(manifest).length === 0 && writtenMs !== undefined && writtenMs > options.nowMs - options.keepEmptyMs
  );
}
