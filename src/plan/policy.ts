import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  PROVENANCE_ANNOTATION,
  type ServiceEntry,
} from "../model/objects.ts";
import type { Change, Delete, Hold, Plan, Update } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { PremadeEntry, StandingObject } from "../model/standing.ts";
import type { Authority } from "./merge.ts";
import { sameValue } from "./same.ts";
import { type IndexedStanding, isCompanion, isExposure, type StandingEntry } from "./standing.ts";
import { isInside } from "./standing-stage.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

export interface PolicyOptions {
  readonly mode: "sync" | "upsert-only" | "dry-run";
  /** Of the services that stand. */
  readonly maxDeletePercent: number;
  readonly minDeletes: number;
  /** The sliding window, and how long a tombstone stands. */
  readonly keepEmptyMs: number;
  /** Registries whose brake is released. */
  readonly allowDeletes: ReadonlySet<string>;
  readonly nowMs: number;
}

/** A brake that holds something back. */
export interface Brake {
  readonly registry: string;
  readonly kind: "services" | "endpoints";
  /** One sentence without a full stop, with the numbers. */
  readonly message: string;
}

export interface PolicedPlan extends Plan {
  readonly brakes: readonly Brake[];
  /** Endpoints by registry once this plan is written: the caller keeps the peak of the window for the next pass. */
  readonly endpointTotals: ReadonlyMap<string, number>;
}

/**
 * Hold back what would take away too much at once.
 *
 * Per registry, over the last `keepEmptyMs`: services that vanished or lost their last endpoint (marked on their entries)
 * over services that stand. Past both limits nothing more is emptied or deleted; an empty list after a non-empty one always
 * trips. Losing more than half of a registry's endpoints holds their removal. Everything else goes on being updated. Services that
 * are inside do not count: their endpoints outside are meant to go.
 *
 * @param endpointPeaks the most endpoints each registry had in the window, from the process's own memory
 */
export const applyPolicy = atOnce(applyPolicySteps);

/** {@link applyPolicy} in steps. */
export function* applyPolicySteps(
  plan: Plan,
  standing: IndexedStanding,
  authorities: ReadonlyMap<string, Authority>,
  endpointPeaks: ReadonlyMap<string, number>,
  options: PolicyOptions,
): Steps<PolicedPlan> {
  const brakes: Brake[] = [];
  const upserts = options.mode === "upsert-only" ? upsertOnly(plan, standing) : plan;
  yield;
  const serviceBraked = brakeServices(upserts, standing, authorities, options, brakes);
  yield;
  const { plan: braked, totals } = yield* brakeEndpoints(serviceBraked, standing, endpointPeaks, options, brakes);
  return { ...braked, brakes, endpointTotals: totals };
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

function brakeServices(
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
    if (isInside(entry)) continue;
    count(total, entry.registry);
    if (isRecentLoss(entry, options) && !returning.has(entry.key)) count(marked, entry.registry);
  }
  for (const entry of [...standing.premadeOf.values()].flat()) {
    count(total, entry.registry);
    if (isRecentlyEmptied(entry, options) && !returning.has(entry.key)) count(marked, entry.registry);
  }
  const losses = plan.update.filter((change) => isLoss(change) && !isInside(change.standing));
  const expired = plan.delete.filter(
    (change) =>
      // What leads callers in from outside goes with its line in the configuration, whatever a registry says.
      !isExposure(change.standing) &&
      change.standing.service !== undefined &&
      goneSince(standing.entries.get(change.standing.service)) !== undefined,
  );
  const held = new Set<Change>();
  const messages = new Map<string, string>();
  for (const registry of new Set([...losses, ...expired].map(registryOf))) {
    if (options.allowDeletes.has(registry)) continue;
    const fresh = losses.filter((change) => registryOf(change) === registry);
    const uncounted = fresh.filter((change) => !isRecentLoss(change.standing, options));
    const lost = uncounted.length + (marked.get(registry) ?? 0);
    const all = total.get(registry) ?? 0;
    const isEmptyList = authorities.get(registry)?.listed === 0 && fresh.length > 0;
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

function* brakeEndpoints(
  plan: Plan,
  standing: IndexedStanding,
  peaks: ReadonlyMap<string, number>,
  options: PolicyOptions,
  brakes: Brake[],
): Steps<{ plan: Plan; totals: ReadonlyMap<string, number> }> {
  const before = standing.endpoints;
  const after = new Map(before);
  for (const change of [...plan.create, ...plan.update]) {
    const manifest = entryOf(change);
    if (manifest === undefined || (change.kind === "update" && isInside(change.standing))) continue;
    const had = change.kind === "update" ? endpointsOf(change.standing.manifest as ServiceEntry).length : 0;
    count(after, registryOf(change), endpointsOf(manifest).length - had);
  }
  const braked = new Set<string>();
  for (const [registry, now] of after) {
    const peak = Math.max(peaks.get(registry) ?? 0, before.get(registry) ?? 0);
    const lost = peak - now;
    if (options.allowDeletes.has(registry) || lost <= options.minDeletes || lost * 2 <= peak) continue;
    if (!(yield* shrinks(registry, plan.update))) continue;
    braked.add(registry);
    const message = `brake: registry ${registry} would lose ${lost} of ${peak} endpoints, more than half`;
    brakes.push({ registry, kind: "endpoints", message });
  }
  if (braked.size === 0) return { plan, totals: after };
  const hold: Hold[] = [...plan.hold];
  const update: Update[] = [];
  let looked = 0;
  for (const change of plan.update) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const missing = braked.has(registryOf(change)) ? missingEndpoints(change) : [];
    if (missing.length === 0) {
      update.push(change);
      continue;
    }
    const message =
      brakes.find((brake) => brake.registry === registryOf(change) && brake.kind === "endpoints")?.message ?? "";
    hold.push({
      ...holdOf(change, "brake"),
      message: `${message}; x2istio apply --allow-deletes ${registryOf(change)} releases it`,
    });
    const kept = withEndpoints(change, missing);
    const stays = kept === undefined ? change.standing.manifest : kept.object.manifest;
    const wanted = change.object.manifest as ServiceEntry;
    count(after, registryOf(change), endpointsOf(stays as ServiceEntry).length - endpointsOf(wanted).length);
    if (kept !== undefined) update.push(kept);
  }
  const unchanged = plan.unchanged + plan.update.length - update.length;
  return { plan: { ...plan, update, hold, unchanged }, totals: after };
}

function* shrinks(registry: string, updates: readonly Update[]): Steps<boolean> {
  let looked = 0;
  for (const change of updates) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (registryOf(change) === registry && missingEndpoints(change).length > 0) return true;
  }
  return false;
}

function entryOf(change: Change): ServiceEntry | undefined {
  if (change.kind === "delete") return undefined;
  const { manifest } = change.object;
  return manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata) ? manifest : undefined;
}

function endpointsOf(manifest: ServiceEntry): NonNullable<ServiceEntry["spec"]["endpoints"]> {
  return manifest.spec.endpoints ?? [];
}

function missingEndpoints(change: Update): NonNullable<ServiceEntry["spec"]["endpoints"]> {
  const wanted = entryOf(change);
  if (wanted === undefined || isInside(change.standing)) return [];
  const left = new Set(endpointsOf(wanted).map(place));
  return endpointsOf(change.standing.manifest as ServiceEntry).filter((endpoint) => !left.has(place(endpoint)));
}

function place({ address, ports }: { address: string; ports?: Readonly<Record<string, number>> }): string {
  // The API server sorts the ports; a registry may not.
  return `${address} ${JSON.stringify(Object.fromEntries(Object.entries(ports ?? {}).sort()))}`;
}

/** The update without its removals, or `undefined` when nothing else is left of it. */
function withEndpoints(change: Update, missing: NonNullable<ServiceEntry["spec"]["endpoints"]>): Update | undefined {
  const manifest = entryOf(change);
  if (manifest === undefined) return change;
  // The endpoints of a merged service are told apart by their order: it stays as a whole.
  if (mark(manifest, PROVENANCE_ANNOTATION) !== undefined) return undefined;
  const names = new Set(manifest.spec.ports.map(({ name }) => name));
  const fitting = missing.filter(({ ports }) => Object.keys(ports ?? {}).every((name) => names.has(name)));
  const endpoints = [...endpointsOf(manifest), ...fitting].sort((a, b) => (place(a) < place(b) ? -1 : 1));
  const {
    [EMPTY_SINCE_ANNOTATION]: _,
    [GONE_SINCE_ANNOTATION]: __,
    ...annotations
  } = manifest.metadata.annotations ?? {};
  const kept: ServiceEntry = {
    ...manifest,
    metadata: change.premade === undefined ? { ...manifest.metadata, annotations } : manifest.metadata,
    spec: { ...manifest.spec, endpoints },
  };
  const standing = change.standing.manifest as ServiceEntry;
  const isSame = sameValue(kept.spec, standing.spec) && sameValue(kept.metadata, standing.metadata);
  return isSame ? undefined : { ...change, object: { ...change.object, manifest: kept } };
}

/** Without `held`, each of which becomes a hold. */
function withheld(
  plan: Plan,
  held: ReadonlySet<Change>,
  reason: Hold["reason"],
  message: (change: Change) => string,
): Plan {
  if (held.size === 0) return plan;
  const isMain = ({ manifest }: StandingObject) => manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata);
  const ending = [...held].filter((change) => change.kind === "delete").filter(({ standing }) => isMain(standing));
  const services = new Set(ending.map(serviceOf));
  const holds = [...held].filter(
    (change) => change.kind !== "delete" || isMain(change.standing) || !services.has(serviceOf(change)),
  );
  return {
    create: plan.create,
    update: plan.update.filter((change) => !held.has(change)),
    delete: plan.delete.filter((change) => !held.has(change)),
    hold: [...plan.hold, ...holds.map((change) => ({ ...holdOf(change, reason), message: message(change) }))],
    unchanged: plan.unchanged + held.size,
  };
}

function holdOf(change: Change, reason: Hold["reason"]): Omit<Hold, "message"> {
  const { manifest, service, key } = change.kind === "delete" ? change.standing : change.object;
  const subject = manifest.kind === "ServiceEntry" ? (manifest.spec.hosts[0] ?? key) : key;
  return { reason, subject, service, registry: registryOf(change) };
}

function serviceOf({ standing }: Delete): ServiceKey | undefined {
  return standing.service;
}

function registryOf(change: Change): string {
  return change.kind === "delete" ? change.standing.registry : change.object.registry;
}

function isVanishing(change: Update): boolean {
  if (change.premade !== undefined) return change.premade === "gone";
  return (
    mark(change.object.manifest, GONE_SINCE_ANNOTATION) !== undefined &&
    mark(change.standing.manifest, GONE_SINCE_ANNOTATION) === undefined
  );
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
  return isVanishing(change) || isEmptied;
}

function mark(
  manifest: { metadata: { annotations?: Readonly<Record<string, string>> } },
  name: string,
): string | undefined {
  return manifest.metadata.annotations?.[name];
}

function isReturn({ object, premade }: Update): boolean {
  if (premade !== undefined) return endpointsOf(object.manifest as ServiceEntry).length > 0;
  return [GONE_SINCE_ANNOTATION, EMPTY_SINCE_ANNOTATION].every((name) => mark(object.manifest, name) === undefined);
}

function goneSince(entry: StandingEntry | undefined): string | undefined {
  return entry === undefined ? undefined : mark(entry.manifest, GONE_SINCE_ANNOTATION);
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

function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}
