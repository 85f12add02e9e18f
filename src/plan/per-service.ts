import type { Sliced } from "../async/slices.ts";
import type { Hold, PolicedPlan } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Settings } from "../model/settings.ts";
import type { Catalog } from "./catalog/catalog.ts";
import type { DecisionInput } from "./decision.ts";
import type { Demanded } from "./demand.ts";
import type { PlanMemory } from "./memory.ts";
import type { Naming } from "./names/naming.ts";
import { buildObjects } from "./objects/build-objects.ts";
import type { Desired, ObjectOptions } from "./objects/desired.ts";
import { buildExposures, withExposures } from "./objects/exposures.ts";
import { fillPremade, withFilling } from "./objects/premade.ts";
import { plan } from "./plan.ts";
import { applyPolicy } from "./policy/policy.ts";
import type { Stages } from "./stages/stages.ts";
import type { IndexedStanding } from "./standing.ts";
import { withTurns } from "./turns.ts";
import type { VipLedger } from "./vips/ledger.ts";

const NONE: ReadonlySet<string> = new Set();

/** What the stages over all services gave. */
export interface Judged {
  readonly standing: IndexedStanding;
  readonly catalog: Catalog;
  readonly naming: Naming;
  readonly ledger: Pick<VipLedger, "vips" | "holds"> | undefined;
  readonly stages: Stages;
  readonly demanded?: Demanded;
  /** Of services that are left out. */
  readonly holds?: readonly Hold[];
}

/**
 * The stages that judge each service by itself: objects, exposures, plan, entries that are filled, and policy.
 *
 * @param only the services that `judged` has; all if left out
 */
export function* decideByService(
  { owner, target, policy, exposures, registries }: Settings,
  { standing, catalog, naming, ledger, stages, demanded, holds = [] }: Judged,
  { nowMs, allowDeletes }: Pick<DecisionInput, "nowMs" | "allowDeletes">,
  memory: PlanMemory,
  only?: ReadonlySet<ServiceKey>,
): Sliced<{ readonly desired: Desired; readonly plan: PolicedPlan }> {
  const { namespace, clusterDomain } = target;
  const common = { owner, namespace, clusterDomain };
  const objectOptions: ObjectOptions = {
    ...common,
    keepEmptyMs: policy.keepEmptyMs,
    registries: new Map(registries.map((one) => [one.name, { ...one, isReported: one.demand === "reported" }])),
    nowMs,
    demanded,
    stages: stages.decisions,
  };
  const built = yield* buildObjects(catalog, naming, ledger?.vips, standing, objectOptions, memory);
  const rules = only === undefined ? exposures : exposures.filter(({ service }) => only.has(service));
  const exposed = buildExposures(
    rules,
    { catalog, standing, desired: built, stages: stages.decisions },
    common,
    memory,
  );
  const desired = withExposures(built, exposed);
  const wanted = { ...desired, holds: [...desired.holds, ...stages.holds, ...(ledger?.holds ?? []), ...holds] };
  const own = yield* plan(wanted, standing, memory);
  const whole = withFilling(own, fillPremade(catalog, standing, memory));
  yield;
  const { pruned = NONE } = catalog;
  const policyOptions = { ...policy, allowDeletes: new Set([...allowDeletes, ...pruned]), pruned, nowMs };
  const policed = applyPolicy(whole, standing, catalog.authorities, policyOptions);
  return { desired, plan: withTurns(policed, naming.moves) };
}
