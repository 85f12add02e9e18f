import { specWith } from "../../istio/host-names.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  PROVENANCE_ANNOTATION,
  type ServiceEntry,
  SHRUNK_ANNOTATION,
  SUCCEEDED_BY_ANNOTATION,
} from "../../model/objects.ts";
import type { Brake, Hold, Plan, Update } from "../../model/plan.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import { sameObject } from "../plan.ts";
import type { IndexedStanding } from "../standing.ts";
import { endpointsOf, entryOf, holdOf, lettingGo, mark, type PolicyOptions, registryOf } from "./changes.ts";
import { writeShrunk } from "./holdings.ts";
import { type HeldLoss, withHeldLoss } from "./marks.ts";
import { heldOf, type KeptServices, type Loss, lossesOf, releaseMs, standingCount, suddenSinceMs } from "./sudden.ts";

/**
 * The plan without what would suddenly take away too many endpoints of a registry. What each service loses counts as a share of its
 * own endpoints, and all services count alike, so that one service, however large, is one among many. What a service lost lately and
 * what is kept of it stand on its entry, so that every process counts alike.
 *
 * What is kept stays until the service has as many endpoints again, or its registry has said the same for long enough.
 */
export function brakeEndpoints(
  plan: Plan,
  standing: IndexedStanding,
  kept: KeptServices,
  options: PolicyOptions,
  { brakes, released }: { readonly brakes: Brake[]; readonly released: Brake[] },
): Plan {
  const losses = lossesOf(plan, standing, kept, options);
  if (losses.size === 0) return plan;
  const messages = new Map<string, string>();
  for (const [registry, loss] of losses) {
    if (options.allowDeletes.has(registry)) continue;
    if (loss.ripe.size > 0) released.push(releasedBrake(registry, loss));
    if (loss.held.size === 0) continue;
    const message = brakeMessage(registry, loss, standing, options);
    brakes.push({ registry, kind: "endpoints", message });
    messages.set(registry, `${message}; x2istio apply --allow-deletes ${registry} releases it`);
  }
  const hold: Hold[] = [...plan.hold];
  const update: Update[] = [];
  for (const change of plan.update) {
    const loss = losses.get(registryOf(change));
    const message = messages.get(registryOf(change));
    if (message !== undefined && loss?.held.has(change) === true) {
      hold.push({ ...holdOf(change, "brake"), message });
      update.push(...keptUpdate(change, markOf(change, standing, options)));
    } else update.push(loss?.shrinking.has(change) === true ? marked(change, options, loss.ripe.has(change)) : change);
  }
  return { ...plan, update, hold, unchanged: plan.unchanged + plan.update.length - update.length };
}

function releasedBrake(registry: string, { ripe }: Loss): Brake {
  const message = `${ripe.size} entries of registry ${registry} had lost endpoints suddenly, and the registry has said the same for policy.releaseAfter`;
  return { registry, kind: "endpoints", message };
}

function brakeMessage(registry: string, loss: Loss, standing: IndexedStanding, options: PolicyOptions): string {
  const { services, losing, lost, held, isSudden } = loss;
  const percent = Math.round((lost / services) * 100);
  const ends = Math.max(...[...held].map((change) => markOf(change, standing, options).atMs)) + releaseMs(options);
  const how = isSudden
    ? `would lose endpoints at once, ${percent} % of all if each service counts alike, more than ${options.maxShrinkPercent} %`
    : "lost endpoints suddenly and do not have them back";
  return `brake: ${losing} of ${services} services of registry ${registry} ${how}; it ends by itself at ${rfc3339(ends)} if the registry says the same until then`;
}

/** The mark of what is kept of an entry: a loss that grows begins anew. */
function markOf(change: Update, { holdings }: IndexedStanding, options: PolicyOptions): HeldLoss {
  const before = heldOf(holdings.get(change.object.service), options);
  const wanted = entryOf(change);
  const listed = wanted === undefined ? 0 : endpointsOf(wanted).length;
  if (before !== undefined && listed >= before.listed) return before;
  return { from: before?.from ?? standingCount(change), listed, atMs: options.nowMs };
}

/** The change with what it takes away on the entry, unless that was let go or the entry is not ours. */
function marked(change: Update, options: PolicyOptions, isRipe: boolean): Update {
  if (change.premade !== undefined) return change;
  const manifest = change.object.manifest as ServiceEntry;
  const { [SHRUNK_ANNOTATION]: before, ...annotations } = manifest.metadata.annotations ?? {};
  const isReleased = isRipe || options.allowDeletes.has(registryOf(change));
  const since = { nowMs: options.nowMs, afterMs: suddenSinceMs(options) };
  const shrunk = isReleased ? {} : { [SHRUNK_ANNOTATION]: writeShrunk(before, standingCount(change), since) };
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

/** The update without its removals, with the mark of what is kept, or nothing when all that stands already. */
function keptUpdate(change: Update, held: HeldLoss): readonly Update[] {
  const manifest = keptEntry(change);
  const kept = change.premade === undefined ? withHeldLoss(manifest, held) : manifest;
  const object = { ...change.object, manifest: kept };
  return sameObject(object, change.standing) ? [] : [{ ...change, object }];
}

function keptEntry(change: Update): ServiceEntry {
  const manifest = change.object.manifest as ServiceEntry;
  const own = change.premade === undefined ? withoutEnd : (entry: ServiceEntry) => entry;
  // The endpoints of a merged service are told apart by their order: it stays as a whole.
  if (mark(manifest, PROVENANCE_ANNOTATION) !== undefined)
    return own((lettingGo(change)?.object.manifest ?? change.standing.manifest) as ServiceEntry);
  const names = new Set(manifest.spec.ports.map(({ name }) => name));
  const fitting = missingEndpoints(change).filter(({ ports }) =>
    Object.keys(ports ?? {}).every((name) => names.has(name)),
  );
  const endpoints = [...endpointsOf(manifest), ...fitting].sort((a, b) => (place(a) < place(b) ? -1 : 1));
  return own({ ...manifest, spec: specWith(manifest.spec, endpoints) });
}

/** Of a service that keeps endpoints: it is neither empty nor gone, also where its tombstone led to an heir when it came back. */
function withoutEnd(entry: ServiceEntry): ServiceEntry {
  const {
    [EMPTY_SINCE_ANNOTATION]: _,
    [GONE_SINCE_ANNOTATION]: __,
    [SUCCEEDED_BY_ANNOTATION]: ___,
    ...annotations
  } = entry.metadata.annotations ?? {};
  return { ...entry, metadata: { ...entry.metadata, annotations } };
}
