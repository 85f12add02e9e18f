import type { ServiceEntry } from "../../model/objects.ts";
import type { Plan, Update } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import { isInside } from "../stages/standing-stage.ts";
import type { IndexedStanding } from "../standing.ts";
import { count, endpointsOf, entryOf, isApart, isSucceeded, type PolicyOptions, registryOf } from "./changes.ts";
import type { Holding } from "./holdings.ts";
import type { HeldLoss } from "./marks.ts";

/** Losses of the last minute count together: a registry that fails is not read in one moment. */
const SUDDEN_MS = 60_000;
/** A registry that has said the same for so long is believed, unless the configuration says otherwise. */
const RELEASE_MS = 600_000;

/** What a brake on services keeps. */
export interface KeptServices {
  readonly services: ReadonlySet<ServiceKey | undefined>;
  /** What it has kept for long enough: these losses are believed. */
  readonly believed: ReadonlySet<ServiceKey>;
}

/** What a registry takes away, by how sudden it is. */
export interface Loss {
  /** Services that have endpoints, or had some lately, and that the registry has: nothing that the other brake keeps. */
  readonly services: number;
  readonly losing: number;
  /** Sum of what each loses, as a share of its own. */
  readonly lost: number;
  /** Whether it is too much at once. */
  readonly isSudden: boolean;
  /** All updates that take something away. */
  readonly shrinking: ReadonlySet<Update>;
  /** Those of them that take away what a brake is to keep. */
  readonly held: ReadonlySet<Update>;
  /** Those that take away what a brake has kept for long enough. */
  readonly ripe: ReadonlySet<Update>;
}

/** By when losses count together. */
export function suddenSinceMs({ nowMs, keepEmptyMs }: Pick<PolicyOptions, "nowMs" | "keepEmptyMs">): number {
  return nowMs - Math.min(SUDDEN_MS, keepEmptyMs);
}

/** How long a brake keeps endpoints while the registry goes on saying the same. */
export function releaseMs({ releaseAfterMs = RELEASE_MS }: Pick<PolicyOptions, "releaseAfterMs">): number {
  return releaseAfterMs;
}

/** What each registry of which something shrinks takes away. */
export function lossesOf(
  plan: Plan,
  standing: Pick<IndexedStanding, "holdings">,
  kept: KeptServices,
  options: PolicyOptions,
): ReadonlyMap<string, Loss> {
  const judged = { standing, counted: countedOf(plan), kept, options };
  const shrinking = plan.update.filter((change) => shrinks(change, judged));
  const losses = new Map<string, Loss>();
  for (const [registry, changes] of Map.groupBy(shrinking, registryOf))
    losses.set(registry, lossOf(registry, changes, judged));
  return losses;
}

/** What services have with a plan. */
interface Counted {
  /** How many endpoints more. */
  readonly grown: ReadonlyMap<ServiceKey, number>;
  /** How many their own entries are to have. */
  readonly listed: ReadonlyMap<ServiceKey, number>;
}

function countedOf(plan: Plan): Counted {
  const grown = new Map<ServiceKey, number>();
  const listed = new Map<ServiceKey, number>();
  for (const change of plan.update) {
    const wanted = entryOf(change);
    if (wanted === undefined || isInside(change.standing) || isApart(change) || isSucceeded(wanted)) continue;
    count(grown, change.object.service, endpointsOf(wanted).length - standingCount(change));
    if (change.premade === undefined) listed.set(change.object.service, endpointsOf(wanted).length);
  }
  return { grown, listed };
}

/** How many endpoints an entry has now. */
export function standingCount({ standing }: Update): number {
  return endpointsOf(standing.manifest as ServiceEntry).length;
}

/** Whether an entry has fewer endpoints with this change. One that has others instead is what a rollout looks like. */
function shrinks(change: Update, { standing, counted, kept, options }: Judged): boolean {
  const wanted = entryOf(change);
  if (wanted === undefined || isInside(change.standing) || isSucceeded(wanted)) return false;
  if (kept.believed.has(change.object.service) || change.object.service !== change.standing.service) return false;
  if (endpointsOf(wanted).length >= standingCount(change)) return false;
  const { service } = change.object;
  const held = heldOf(standing.holdings.get(service), options);
  // It has as many as before the loss, though in other places: it is whole again.
  return held === undefined || (counted.listed.get(service) ?? 0) < held.from;
}

interface Judged {
  readonly standing: Pick<IndexedStanding, "holdings">;
  readonly counted: Counted;
  readonly kept: KeptServices;
  readonly options: PolicyOptions;
}

function lossOf(registry: string, changes: readonly Update[], judged: Judged): Loss {
  const { standing, counted, kept, options } = judged;
  let [services, losing, lost, missing] = [0, 0, 0, 0];
  for (const [service, holding] of standing.holdings) {
    if (holding.registry !== registry) continue;
    const held = heldOf(holding, options);
    const had = held?.from ?? hadOf(holding, options);
    if (had === 0) continue;
    if (kept.services.has(service)) {
      missing++;
      continue;
    }
    services++;
    const now =
      held === undefined ? holding.endpoints + (counted.grown.get(service) ?? 0) : counted.listed.get(service);
    const left = Math.max(0, now ?? had);
    if (left >= had || isRipe(service, judged) || kept.believed.has(service)) continue;
    losing++;
    lost += (had - left) / had;
  }
  // One service that a lost registry has again is not alone.
  const isSudden = losing + missing >= options.minShrinks && lost * 100 > options.maxShrinkPercent * services;
  const ripe = new Set(changes.filter(({ object }) => isRipe(object.service, judged)));
  const isHeld = (change: Update) =>
    isSudden || heldOf(standing.holdings.get(change.object.service), options) !== undefined;
  const held = new Set(changes.filter((change) => !ripe.has(change) && isHeld(change)));
  return { services, losing, lost, isSudden, shrinking: new Set(changes), held, ripe };
}

function hadOf({ endpoints, shrunk }: Holding, options: PolicyOptions): number {
  return Math.max(endpoints, shrunk !== undefined && shrunk.atMs > suddenSinceMs(options) ? shrunk.from : 0);
}

/** What is kept of a service. A mark of a time to come is not ours: nothing would ever end by it. */
export function heldOf(holding: Holding | undefined, { nowMs }: Pick<PolicyOptions, "nowMs">): HeldLoss | undefined {
  const held = holding?.held;
  return held !== undefined && held.atMs <= nowMs ? held : undefined;
}

/** Whether the registry has said the same of a service for long enough: no less, that is. */
function isRipe(service: ServiceKey, { standing, counted, options }: Judged): boolean {
  const held = heldOf(standing.holdings.get(service), options);
  if (held === undefined || (counted.listed.get(service) ?? 0) < held.listed) return false;
  return options.nowMs - held.atMs >= releaseMs(options);
}
