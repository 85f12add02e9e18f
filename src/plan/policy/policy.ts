import type { Brake, Change, Plan, PolicedPlan } from "../../model/plan.ts";
import type { Authority } from "../catalog/catalog.ts";
import { type IndexedStanding, isExposure } from "../standing.ts";
import { isVanishing, type PolicyOptions, serviceOf, withheld } from "./changes.ts";
import { brakeEndpoints } from "./endpoint-brake.ts";
import { brakeServices } from "./service-brake.ts";
import { followHeirs } from "./succeeded.ts";

/**
 * Hold back what would take away too much at once.
 *
 * Per registry, over the last `keepEmptyMs`: services that vanished or lost their last endpoint (marked on their entries)
 * over services that stand. Past both limits nothing more is emptied or deleted; an empty list after a non-empty one always
 * trips. Losing more than half of a registry's endpoints, each service counted alike, holds their removal. Everything else goes on being
 * updated. Services that are inside do not count: their endpoints outside are meant to go.
 */
export function applyPolicy(
  plan: Plan,
  standing: IndexedStanding,
  authorities: ReadonlyMap<string, Authority>,
  options: PolicyOptions,
): PolicedPlan {
  const brakes: Brake[] = [];
  const upserts = options.mode === "upsert-only" ? upsertOnly(plan, standing) : plan;
  const serviceBraked = brakeServices(upserts, standing, authorities, options, brakes);
  const own = serviceBraked.hold.slice(upserts.hold.length);
  const held = new Set(own.map(({ service }) => service));
  const braked = brakeEndpoints(serviceBraked, standing, held, options, brakes);
  const kept = new Set(braked.hold.slice(upserts.hold.length).map(({ service }) => service));
  return { ...followHeirs(braked, standing, kept), brakes };
}

/** What goes with a service that vanished stays. An alias or a route that a listed service no longer asks for goes. */
function upsertOnly(plan: Plan, standing: IndexedStanding): Plan {
  const vanishing = plan.update.filter(isVanishing);
  const entries = new Set([...standing.entries.values()].map(({ key }) => key));
  const ending = new Set(plan.delete.filter((change) => entries.has(change.standing.key)).map(serviceOf));
  const gone = plan.delete.filter((change) => {
    if (isExposure(change.standing)) return false;
    const service = serviceOf(change);
    return service === undefined || ending.has(service) || !standing.entries.has(service);
  });
  if (vanishing.length === 0 && gone.length === 0) return plan;
  const message = "policy.mode is upsert-only: nothing that vanished is emptied or deleted";
  return withheld(plan, new Set<Change>([...vanishing, ...gone]), "upsert-only", () => message);
}
