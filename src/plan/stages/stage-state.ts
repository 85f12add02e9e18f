import type { Blocker, Claim, MigrationRules, StageRequest } from "../../model/claim.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { ForeignObject } from "../../model/standing.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import type { Naming, ServiceNames } from "../names/naming.ts";
import type { RegistryRules } from "../objects/desired.ts";
import type { IndexedStanding, StandingEntry } from "../standing.ts";
import type { Place } from "./places.ts";
import type { StandingStage } from "./standing-stage.ts";

/** What stages are decided by besides what was read and what stands. */
export interface StageOptions {
  readonly rules: MigrationRules;
  /** By registry. */
  readonly registries: ReadonlyMap<string, Pick<RegistryRules, "exportTo" | "waypoint">>;
  /** Where the entries stand. */
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly nowMs: number;
  /** Services that are known and that nobody has asked for. */
  readonly undemanded?: ReadonlyMap<ServiceKey, unknown>;
}

/** What stages are decided from. */
export interface StageState {
  readonly catalog: Catalog;
  readonly naming: Naming;
  readonly standing: IndexedStanding;
  readonly options: StageOptions;
  /** Others' routes by host. */
  readonly routes: () => ReadonlyMap<string, ForeignObject>;
}

/** A service of which a stage can be decided: it is listed, has its names, and its entry stands. */
export interface Judged {
  readonly key: ServiceKey;
  readonly entry: StandingEntry;
  readonly service: CatalogService;
  readonly names: ServiceNames;
  readonly at: StandingStage;
  readonly claim: Claim | undefined;
  readonly claims: readonly Claim[];
}

/** Where a service is to stand after this pass, and why not further. */
export interface Verdict {
  readonly next: Place;
  /** Where the steps lead. */
  readonly request: StageRequest;
  readonly blockers: readonly Blocker[];
  readonly refusedTo: StageRequest | undefined;
  readonly steppedBackFrom: string | undefined;
  /** Set where the next step waits until all clients know where it leads. */
  readonly settlesAtMs?: number;
}
