import type { StageDecision } from "../model/claim.ts";
import type { Demands } from "../model/demand.ts";
import type { PolicedPlan } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import type { Catalog, CatalogService, Reading } from "./catalog/catalog.ts";
import type { Naming } from "./names/naming.ts";
import type { Desired } from "./objects/desired.ts";
import type { IndexedStanding } from "./standing.ts";
import type { VipLedger } from "./vips/ledger.ts";

/** What one decision starts from. */
export interface DecisionInput {
  /** By registry, in configuration order. */
  readonly readings: ReadonlyMap<string, Reading>;
  readonly standing: Standing;
  /** By the target's clock. */
  readonly nowMs: number;
  /** Registries whose brake is released. */
  readonly allowDeletes: ReadonlySet<string>;
  /** Registries that have left the configuration and of which nothing is to stand any more. */
  readonly prune?: ReadonlySet<string>;
  /** Who asked for services lately, beside what their entries say. */
  readonly asked?: Demands;
}

/** What every stage gave, to be written and shown. It never changes: a later decision shares what stayed the same. */
export interface Decision {
  readonly standing: IndexedStanding;
  /** What is to stand. */
  readonly catalog: Catalog;
  /** Services that are only known, as nobody has asked for them. They have names, too. */
  readonly undemanded: ReadonlyMap<ServiceKey, CatalogService>;
  /** Services that are left out as their registry lists more than may stand. */
  readonly beyond: ReadonlyMap<ServiceKey, CatalogService>;
  readonly naming: Naming;
  /** `undefined` when Istio allocates VIPs. */
  readonly ledger: VipLedger | undefined;
  /** Where services are that are claimed or past `outside`; all others are outside. */
  readonly stages: ReadonlyMap<ServiceKey, StageDecision>;
  readonly desired: Desired;
  readonly plan: PolicedPlan;
}
