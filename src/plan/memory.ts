import type { ExposureRule } from "../model/exposure.ts";
import type { EntryPort, OwnedObject } from "../model/objects.ts";
import type { Hold, Update } from "../model/plan.ts";
import type { Service, ServiceKey } from "../model/service.ts";
import type { PremadeEntry, Standing, StandingLedgerBlock, StandingObject } from "../model/standing.ts";
import type { CatalogService, Reading } from "./catalog/catalog.ts";
import type { Decision } from "./decision.ts";
import type { WrittenName } from "./names/names-annotation.ts";
import type { ForeignNames, Wishes } from "./names/naming.ts";
import type { StandingEntry } from "./standing.ts";
import type { LedgerLine } from "./vips/ledger.ts";

/**
 * What the stages remember from decision to decision, for one configuration. It saves work: an unchanged service keeps its
 * identity from stage to stage, so that the cost of a decision follows what changed. One thing is told by it alone: which
 * services were known and not asked for while their registry cannot be read, so that their names are not denied meanwhile.
 */
export interface PlanMemory {
  /** By the service as its registry gave it, with the standing ports that its ports were settled by. */
  readonly settled: WeakMap<
    CatalogService,
    { readonly standing: readonly EntryPort[] | undefined; readonly settled: CatalogService }
  >;
  /** By the service as its registry gave it, the service by the name that stands. */
  readonly respelled: WeakMap<Service, Service>;
  readonly wishes: WeakMap<CatalogService, Wishes>;
  /** Names that entries give by their annotation. */
  readonly standingNames: WeakMap<StandingEntry, readonly WrittenName[]>;
  readonly ledgerLines: WeakMap<StandingLedgerBlock, readonly LedgerLine[]>;
  /** What was made for a rule. */
  readonly exposures: WeakMap<ExposureRule, OwnedObject>;
  /** Desired objects that were found equal to a standing version. */
  readonly equal: WeakMap<OwnedObject, StandingObject>;
  /** What was decided on an entry that someone wrote by hand. */
  readonly filled: WeakMap<PremadeEntry, { readonly service: CatalogService; readonly filled: Update | Hold | "same" }>;
  /** Names of others' objects, and of which objects. */
  foreignNames: { readonly of: Standing["foreign"]; readonly names: ForeignNames } | undefined;
  /** The last decision: what is equal to a part of it is that part. */
  decision: Decision | undefined;
  /** What a partial decision goes on from; `undefined` where only a decision on everything can follow. */
  ground: Ground | undefined;
}

/** What a partial decision must know beside the last decision. */
export interface Ground {
  readonly readings: ReadonlyMap<string, Reading>;
  /** Services of which something is held beyond their names. */
  readonly held: ReadonlySet<ServiceKey | undefined>;
  /** Services of which something changed that only a decision on everything can judge. */
  readonly unclear: ReadonlySet<ServiceKey | undefined>;
}

/** A memory of nothing. */
export function planMemory(): PlanMemory {
  return {
    settled: new WeakMap(),
    respelled: new WeakMap(),
    wishes: new WeakMap(),
    standingNames: new WeakMap(),
    ledgerLines: new WeakMap(),
    exposures: new WeakMap(),
    equal: new WeakMap(),
    filled: new WeakMap(),
    foreignNames: undefined,
    decision: undefined,
    ground: undefined,
  };
}
