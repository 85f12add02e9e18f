import { EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION, type ServiceEntry } from "../../model/objects.ts";
import type { Brake, Change, Delete, Plan, Update } from "../../model/plan.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { PremadeEntry, StandingObject } from "../../model/standing.ts";
import type { Authority } from "../catalog/catalog.ts";
import { isInside } from "../stages/standing-stage.ts";
import { type IndexedStanding, isEntry, isExposure, type StandingEntry } from "../standing.ts";
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
import { heldMarks, standingHeld, withMarks } from "./mark-updates.ts";
import type { KeptServices } from "./sudden.ts";

/** What a brake on services gives. */
export interface BrakedServices {
  readonly plan: Plan;
  readonly kept: KeptServices;
}

/** Brakes that are on with a plan, and those that end with it. */
export interface BrakeLists {
  readonly brakes: Brake[];
  readonly released: Brake[];
}

/**
 * The plan without what would empty or delete too many services of a registry. Since when they are kept stands on some of their entries.
 *
 * @param doubtful services that shrink suddenly: they are no proof that the registry has them
 */
export function brakeServices(
  plan: Plan,
  standing: IndexedStanding,
  authorities: ReadonlyMap<string, Authority>,
  doubtful: ReadonlySet<ServiceKey>,
  options: PolicyOptions,
  lists: BrakeLists,
): BrakedServices {
  const losses = plan.update.filter((change) => isLoss(change) && !isInside(change.standing));
  const expired = plan.delete.filter((change) => isExpired(change, standing));
  const held = new Set<Change>();
  const messages = new Map<string, string>();
  const believed = new Set<ServiceKey>();
  const marks: Update[] = [];
  for (const trip of tripsOf({ plan, standing, authorities, doubtful, options }, losses, expired)) {
    const { registry, fresh, message, lost } = trip;
    const brake = (text: string): Brake => ({ registry, kind: "services", message: `${message}${text}` });
    const since = heldSince(registry, lost, standing, options);
    if (options.nowMs - since >= (options.releaseAfterMs ?? Number.POSITIVE_INFINITY)) {
      lists.released.push(brake(", and has said the same for policy.releaseAfter"));
      for (const { object } of fresh) believed.add(object.service);
      continue;
    }
    lists.brakes.push(brake(endText(since, options)));
    messages.set(registry, `${message}; x2istio apply --allow-deletes ${registry} releases it`);
    // Where it never ends by itself nobody asks since when it is on.
    if (options.releaseAfterMs !== undefined) marks.push(...heldMarks(fresh.flatMap(ownEntry), { lost, atMs: since }));
    for (const change of [...fresh, ...expired.filter((one) => registryOf(one) === registry)]) held.add(change);
  }
  const braked = withheld(plan, held, "brake", (change) => messages.get(registryOf(change)) ?? "");
  const services = new Set(braked.hold.slice(plan.hold.length).map(({ service }) => service));
  return { plan: withMarks(braked, marks), kept: { services, believed } };
}

/** Nothing of ours may be written on the entries of others. */
function ownEntry({ premade, standing }: Update): readonly StandingEntry[] {
  return premade === undefined && isEntry(standing) ? [standing] : [];
}

/** What losses are judged by. */
interface Question {
  readonly plan: Plan;
  readonly standing: IndexedStanding;
  readonly authorities: ReadonlyMap<string, Authority>;
  readonly doubtful: ReadonlySet<ServiceKey>;
  readonly options: PolicyOptions;
}

/** A registry that loses too many services with a plan. */
interface Trip {
  readonly registry: string;
  readonly fresh: readonly Update[];
  /** With those that were lost lately. */
  readonly lost: number;
  readonly message: string;
}

function tripsOf(question: Question, losses: readonly Update[], expired: readonly Delete[]): readonly Trip[] {
  const registries = new Set([...losses, ...expired].map(registryOf));
  if (registries.size === 0) return [];
  const stands = standingCounts(question, losses);
  return [...registries].flatMap((registry): readonly Trip[] => {
    if (question.options.allowDeletes.has(registry)) return [];
    const fresh = losses.filter((change) => registryOf(change) === registry);
    const tripped = trippedBy(fresh, registry, stands, question);
    return tripped === undefined ? [] : [{ registry, fresh, ...tripped }];
  });
}

/** By registry, how many services stand, how many of them it is known to have or to have lost, and how many were lost lately. */
interface StandingCounts {
  readonly total: ReadonlyMap<string, number>;
  readonly proven: ReadonlyMap<string, number>;
  readonly lost: ReadonlyMap<string, number>;
}

function standingCounts({ plan, standing, doubtful, options }: Question, losses: readonly Update[]): StandingCounts {
  const total = new Map<string, number>();
  const proven = new Map<string, number>();
  const lost = new Map<string, number>();
  // A service that is back with this plan is no loss any more.
  const returning = new Set(plan.update.filter(isReturn).map(({ standing: { key } }) => key));
  const losing = new Set(losses.map(({ standing: { key } }) => key));
  const add = ({ key, service, registry }: StandingObject) => {
    count(total, registry);
    if (losing.has(key) || !doubtful.has(service ?? "")) count(proven, registry);
  };
  for (const entry of standing.entries.values()) {
    if (isInside(entry) || isSucceeded(entry.manifest)) continue;
    add(entry);
    if (isRecentLoss(entry, options) && !returning.has(entry.key)) count(lost, entry.registry);
  }
  for (const entry of [...standing.premadeOf.values()].flat()) {
    if (entry.isApart === true) continue;
    add(entry);
    if (isRecentlyEmptied(entry, options) && !returning.has(entry.key)) count(lost, entry.registry);
  }
  return { total, proven, lost };
}

/** Why the losses of a registry are too many, and how many they are with those before; `undefined` when they are not. */
function trippedBy(
  fresh: readonly Update[],
  registry: string,
  stands: StandingCounts,
  { authorities, options }: Question,
): { readonly message: string; readonly lost: number } | undefined {
  const counted = fresh.filter((change) => !isApart(change));
  const uncounted = counted.filter((change) => !isRecentLoss(change.standing, options));
  const lost = uncounted.length + (stands.lost.get(registry) ?? 0);
  const all = stands.total.get(registry) ?? 0;
  if (authorities.get(registry)?.listed === 0 && counted.length > 0)
    return { lost, message: `brake: registry ${registry} lists no service any more, ${all} stand` };
  const proven = stands.proven.get(registry) ?? 0;
  if (lost <= options.minDeletes || lost * 100 <= options.maxDeletePercent * proven) return undefined;
  const message = `brake: ${lost} of ${all} services of registry ${registry} vanished or lost their last endpoint, more than ${options.maxDeletePercent} %`;
  return { lost, message };
}

/** Since when the registry has said the same, by what stands: more losses than then are something else. */
function heldSince(registry: string, lost: number, { entries }: IndexedStanding, { nowMs }: PolicyOptions): number {
  const own = [...entries.values()].filter((entry) => entry.registry === registry);
  const held = standingHeld(own, nowMs);
  return held === undefined || lost > held.lost ? nowMs : held.atMs;
}

function endText(sinceMs: number, { releaseAfterMs }: PolicyOptions): string {
  if (releaseAfterMs === undefined) return "";
  return `; it ends by itself at ${rfc3339(sinceMs + releaseAfterMs)} if the registry says the same until then`;
}

/** What leads callers in from outside goes with its line in the configuration, whatever a registry says. */
function isExpired({ standing: object }: Delete, { entries }: IndexedStanding): boolean {
  return !isExposure(object) && isGoneFor(entries.get(object.service ?? ""));
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
