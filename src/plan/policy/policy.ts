import type { Brake, Change, Plan, PolicedPlan } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { Authority } from "../catalog/catalog.ts";
import { type IndexedStanding, isExposure } from "../standing.ts";
import { isVanishing, type PolicyOptions, serviceOf, withheld } from "./changes.ts";
import { brakeEndpoints } from "./endpoint-brake.ts";
import { brakeServices } from "./service-brake.ts";
import { followHeirs } from "./succeeded.ts";
import { type KeptServices, lossesOf } from "./sudden.ts";

/**
 * Hold back what would take away too much at once.
 *
 * Per registry, over the last `keepEmptyMs`: services that vanished or lost their last endpoint (marked on their entries)
 * over services that stand. Past both limits nothing more is emptied or deleted; an empty list after a non-empty one always
 * trips. Services that suddenly lose too many of a registry's endpoints, each service counted alike, keep them. Everything else goes on
 * being updated. What one brake keeps is no proof for the other. Services that are inside do not count: their endpoints outside are meant
 * to go. A brake ends once its registry has said the same for long enough.
 */
export function applyPolicy(
  plan: Plan,
  standing: IndexedStanding,
  authorities: ReadonlyMap<string, Authority>,
  options: PolicyOptions,
): PolicedPlan {
  const lists = { brakes: [] as Brake[], released: [] as Brake[] };
  const upserts = options.mode === "upsert-only" ? upsertOnly(plan, standing, options) : plan;
  const doubtful = doubtfulServices(upserts, standing, options);
  const { plan: braked, kept } = brakeServices(upserts, standing, authorities, doubtful, options, lists);
  const policed = brakeEndpoints(braked, standing, kept, options, lists);
  const held = new Set(policed.hold.slice(upserts.hold.length).map(({ service }) => service));
  return { ...followHeirs(policed, standing, held), ...lists };
}

/** As if the other brake were not there. */
const NOTHING_KEPT: KeptServices = { services: new Set(), believed: new Set() };

/** Services of which the brake on endpoints would keep something whatever the other does: the other does not count them as there. */
function doubtfulServices(plan: Plan, standing: IndexedStanding, options: PolicyOptions): ReadonlySet<ServiceKey> {
  const losses = [...lossesOf(plan, standing, NOTHING_KEPT, options)];
  const held = losses.flatMap(([registry, loss]) => (options.allowDeletes.has(registry) ? [] : [...loss.held]));
  return new Set(held.map(({ object }) => object.service));
}

/** What goes with a service that vanished stays. An alias or a route that a listed service no longer asks for goes. */
function upsertOnly(plan: Plan, standing: IndexedStanding, { pruned }: PolicyOptions): Plan {
  const vanishing = plan.update.filter(isVanishing);
  const entries = new Set([...standing.entries.values()].map(({ key }) => key));
  const ending = new Set(plan.delete.filter((change) => entries.has(change.standing.key)).map(serviceOf));
  const gone = plan.delete.filter((change) => {
    if (isExposure(change.standing) || pruned?.has(change.standing.registry) === true) return false;
    const service = serviceOf(change);
    return service === undefined || ending.has(service) || !standing.entries.has(service);
  });
  if (vanishing.length === 0 && gone.length === 0) return plan;
  const message = "policy.mode is upsert-only: nothing that vanished is emptied or deleted";
  return withheld(plan, new Set<Change>([...vanishing, ...gone]), "upsert-only", () => message);
}
