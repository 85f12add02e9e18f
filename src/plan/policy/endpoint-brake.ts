import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  PROVENANCE_ANNOTATION,
  type ServiceEntry,
  SHRUNK_ANNOTATION,
} from "../../model/objects.ts";
import type { Brake, Hold, Plan, Update } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import { sameValue } from "../same.ts";
import { isInside } from "../stages/standing-stage.ts";
import type { IndexedStanding } from "../standing.ts";
import {
  count,
  endpointsOf,
  entryOf,
  holdOf,
  isApart,
  isSucceeded,
  lettingGo,
  mark,
  type PolicyOptions,
  registryOf,
} from "./changes.ts";
import { type Holding, writeShrunk } from "./holdings.ts";

/** Losses of the last ten minutes count together: a registry that fails is not read in one moment. */
const SUDDEN_MS = 600_000;

/**
 * The plan without what would take away too many endpoints of a registry. What each service loses counts as a share of its own
 * endpoints, and all services count alike, so that one service, however large, is one among many. What an entry lost lately stands
 * on it, so that every process counts alike.
 *
 * @param held services of which another brake keeps something: they are neither lost nor there
 */
export function brakeEndpoints(
  plan: Plan,
  standing: IndexedStanding,
  held: ReadonlySet<ServiceKey | undefined>,
  options: PolicyOptions,
  brakes: Brake[],
): Plan {
  const shrinking = new Set(plan.update.filter(shrinks));
  if (shrinking.size === 0) return plan;
  const grown = growth(plan);
  const messages = new Map<string, string>();
  for (const registry of new Set([...shrinking].map(registryOf))) {
    if (options.allowDeletes.has(registry)) continue;
    const { services, losing, lost } = lossOf(registry, standing, grown, held, options);
    if (losing <= options.minDeletes || lost * 2 <= services) continue;
    const percent = Math.round((lost / services) * 100);
    const message = `brake: ${losing} of ${services} services of registry ${registry} would lose endpoints, ${percent} % of all if each service counts alike, more than half`;
    brakes.push({ registry, kind: "endpoints", message });
    messages.set(registry, `${message}; x2istio apply --allow-deletes ${registry} releases it`);
  }
  const hold: Hold[] = [...plan.hold];
  const update: Update[] = [];
  for (const change of plan.update) {
    const message = messages.get(registryOf(change));
    if (!shrinking.has(change)) update.push(change);
    else if (message === undefined) update.push(marked(change, options));
    else {
      hold.push({ ...holdOf(change, "brake"), message });
      const kept = withEndpoints(change, missingEndpoints(change)) ?? lettingGo(change);
      if (kept !== undefined) update.push(kept);
    }
  }
  return { ...plan, update, hold, unchanged: plan.unchanged + plan.update.length - update.length };
}

/** How many endpoints more each service has with this plan. */
function growth(plan: Plan): ReadonlyMap<ServiceKey, number> {
  const grown = new Map<ServiceKey, number>();
  for (const change of plan.update) {
    const wanted = entryOf(change);
    if (wanted === undefined || isInside(change.standing) || isApart(change) || isSucceeded(wanted)) continue;
    count(grown, change.object.service, endpointsOf(wanted).length - countOf(change));
  }
  return grown;
}

interface Loss {
  /** Services that have endpoints, or had some lately. */
  readonly services: number;
  readonly losing: number;
  /** Sum of what each loses, as a share of its own. */
  readonly lost: number;
}

function lossOf(
  registry: string,
  { holdings }: IndexedStanding,
  grown: ReadonlyMap<ServiceKey, number>,
  held: ReadonlySet<ServiceKey | undefined>,
  { nowMs, keepEmptyMs }: PolicyOptions,
): Loss {
  const sinceMs = nowMs - Math.min(SUDDEN_MS, keepEmptyMs);
  let [services, losing, lost] = [0, 0, 0];
  for (const [service, holding] of holdings) {
    if (holding.registry !== registry || held.has(service)) continue;
    const had = Math.max(holding.endpoints, lately(holding, sinceMs));
    if (had === 0) continue;
    services++;
    const left = holding.endpoints + (grown.get(service) ?? 0);
    if (left >= had) continue;
    losing++;
    lost += Math.min(1, (had - left) / had);
  }
  return { services, losing, lost };
}

function lately({ shrunk }: Holding, sinceMs: number): number {
  return shrunk !== undefined && shrunk.atMs > sinceMs ? shrunk.from : 0;
}

/** Whether an entry has fewer endpoints with this change. One that has others instead is what a rollout looks like. */
function shrinks(change: Update): boolean {
  const wanted = entryOf(change);
  if (wanted === undefined || isInside(change.standing) || isSucceeded(wanted)) return false;
  return endpointsOf(wanted).length < countOf(change) && change.object.service === change.standing.service;
}

function countOf({ standing }: Update): number {
  return endpointsOf(standing.manifest as ServiceEntry).length;
}

/** The change with what it takes away on the entry, unless an operator let it go or the entry is not ours. */
function marked(change: Update, { allowDeletes, nowMs, keepEmptyMs }: PolicyOptions): Update {
  if (change.premade !== undefined) return change;
  const manifest = change.object.manifest as ServiceEntry;
  const { [SHRUNK_ANNOTATION]: before, ...annotations } = manifest.metadata.annotations ?? {};
  const isReleased = allowDeletes.has(registryOf(change));
  const since = { nowMs, afterMs: nowMs - Math.min(SUDDEN_MS, keepEmptyMs) };
  const shrunk = isReleased ? {} : { [SHRUNK_ANNOTATION]: writeShrunk(before, countOf(change), since) };
  const metadata = { ...manifest.metadata, annotations: { ...annotations, ...shrunk } };
  return { ...change, object: { ...change.object, manifest: { ...manifest, metadata } } };
}

function missingEndpoints(change: Update): NonNullable<ServiceEntry["spec"]["endpoints"]> {
  const left = new Set(endpointsOf(change.object.manifest as ServiceEntry).map(place));
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
