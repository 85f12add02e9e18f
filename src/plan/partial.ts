import { finish, type Sliced } from "../async/slices.ts";
import { isHostName } from "../istio/host-names.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  type ObjectKey,
  SUCCEEDED_BY_ANNOTATION,
} from "../model/objects.ts";
import { type Service, type ServiceKey, serviceKey } from "../model/service.ts";
import type { Settings } from "../model/settings.ts";
import type { CatalogService, Reading } from "./catalog/catalog.ts";
import { settlePorts } from "./catalog/settle.ts";
import { type ChangedObjects, objectsChanged, versionsOf } from "./changed-objects.ts";
import type { Decision, DecisionInput } from "./decision.ts";
import { differences } from "./differences.ts";
import type { Ground, PlanMemory } from "./memory.ts";
import { decideByService } from "./per-service.ts";
import { replaced } from "./replaced.ts";
import { sameValue } from "./same.ts";
import { exchanged, type IndexedStanding, standingOf } from "./standing.ts";

/** A decision on what changed. What is held is as it was before. */
export interface PartialDecision {
  readonly decision: Decision;
  /** Set when something else changed in the target that only a decision on everything can judge. */
  readonly isUnfinished: boolean;
}

/** What a partial decision can go on from after a decision on everything. */
export function groundOf({ naming, plan, standing }: Decision, readings: ReadonlyMap<string, Reading>): Ground {
  const ofNames = new Set(naming.holds);
  // A claim that is refused says nothing of the service that it is for.
  const beyond = plan.hold.filter(
    (hold) => !ofNames.has(hold) && hold.reason !== "stage" && hold.services === undefined,
  );
  const held = new Set(beyond.map(({ service }) => service));
  // What one gives and another takes is written in turns.
  for (const { from, to } of naming.moves) held.add(from).add(to);
  // With it the entries change whose VIPs lead to it.
  for (const { manifest } of standing.entries.values())
    held.add(manifest.metadata.annotations?.[SUCCEEDED_BY_ANNOTATION]);
  return { readings, held, unclear: new Set() };
}

/**
 * Decide on services of which a registry says something else, and on objects of theirs that changed, as {@link decide} would;
 * `undefined` where it takes a decision on everything.
 *
 * Names, VIPs and brakes are judged over all services. So this keeps to changes that cannot touch them: the same services
 * are listed, by the same names; none is emptied or comes back; nothing is created, deleted or held.
 *
 * @param changed keys of all objects that changed in the target since the last decision; `undefined` where they are not known
 */
export function decidePartly(
  settings: Settings,
  input: DecisionInput,
  changed: ReadonlySet<ObjectKey> | undefined,
  memory: PlanMemory,
): PartialDecision | undefined {
  return finish(decidePartlyInSlices(settings, input, changed, memory));
}

/** {@link decidePartly} in slices. What it reads of `input` it reads before the first. */
export function* decidePartlyInSlices(
  settings: Settings,
  input: DecisionInput,
  changed: ReadonlySet<ObjectKey> | undefined,
  memory: PlanMemory,
): Sliced<PartialDecision | undefined> {
  const { decision: last, ground } = memory;
  memory.ground = undefined;
  if (last === undefined || ground === undefined || changed === undefined) return undefined;
  const { create, delete: remove, brakes } = last.plan;
  if (create.length + remove.length + brakes.length + input.allowDeletes.size > 0) return undefined;
  const readings = new Map(input.readings);
  const versions = versionsOf(last.standing, input.standing, changed);
  const read = yield* servicesReadAnew(ground.readings, readings, settings.merge);
  if (read === undefined) return undefined;
  const objects = yield* objectsChanged(last.standing, versions);
  const standing = exchanged(last.standing, objects.exchange);
  const unclear = new Set([...ground.unclear, ...objects.unclear]);
  const divided = yield* divide({ last, standing, held: ground.held, unclear, read, objects, settings, memory });
  if (divided === undefined) return undefined;
  const decision = yield* decideOn(divided, { last, standing, settings, input, memory });
  if (decision === undefined) return undefined;
  memory.decision = decision;
  memory.ground = { readings, held: ground.held, unclear };
  return { decision, isUnfinished: unclear.size > 0 };
}

interface ReadAnew {
  readonly before: Service;
  readonly now: Service;
}

interface Question {
  readonly last: Decision;
  /** With what has changed since. */
  readonly standing: IndexedStanding;
  readonly held: Ground["held"];
  readonly unclear: Ground["unclear"];
  readonly read: ReadonlyMap<ServiceKey, ReadAnew>;
  readonly objects: ChangedObjects;
  readonly settings: Settings;
  readonly memory: PlanMemory;
}

/** The services to decide on. */
interface Divided {
  readonly services: ReadonlyMap<ServiceKey, CatalogService>;
  /** Nobody asked for them: only what they will be made of changes. */
  readonly undemanded: ReadonlyMap<ServiceKey, CatalogService>;
}

function* divide(question: Question): Sliced<Divided | undefined> {
  const { last, standing, read, objects } = question;
  const updated = last.plan.update.map(({ object }) => object.service);
  const services = new Map<ServiceKey, CatalogService>();
  const undemanded = new Map<ServiceKey, CatalogService>();
  for (const key of new Set([...read.keys(), ...objects.services, ...updated])) {
    yield;
    if (last.beyond.has(key) && !last.undemanded.has(key)) continue;
    const change = read.get(key);
    if (change !== undefined && last.undemanded.has(key) && !standing.byService.has(key)) {
      undemanded.set(key, change.now);
      continue;
    }
    const service = judgedAlone(question, key, change);
    if (service === undefined) return undefined;
    services.set(key, service);
  }
  return { services, undemanded };
}

/** The service as it is now; `undefined` where it takes a decision on everything. */
function judgedAlone(
  { last, standing, held, unclear, settings, memory }: Question,
  key: ServiceKey,
  change: ReadAnew | undefined,
): CatalogService | undefined {
  const known = last.catalog.services.get(key);
  if (known === undefined || settings.merge.includes(known.registry)) return undefined;
  if (held.has(key) || unclear.has(key) || !isSettled(last, standing, key)) return undefined;
  if (change === undefined) return known;
  // Its routes go by its ports, and whether it may be moved does.
  if (last.stages.has(key) && !sameValue(change.before.ports, change.now.ports)) return undefined;
  // Of two services that a registry lists by one name another one may be the one that counts.
  if (known !== change.before && known !== memory.settled.get(change.before)?.settled) return undefined;
  return settlePorts(change.now, standing.entries.get(key)?.manifest, memory);
}

interface Ways {
  readonly last: Decision;
  readonly standing: IndexedStanding;
  readonly settings: Settings;
  readonly input: DecisionInput;
  readonly memory: PlanMemory;
}

function* decideOn(
  { services, undemanded }: Divided,
  { last, standing, settings, input, memory }: Ways,
): Sliced<Decision | undefined> {
  const { catalog, naming, ledger, stages, desired, plan } = last;
  const part = standingOf(standing, services.keys());
  const heldAliases = new Set([...part.objects.keys()].filter((key) => naming.heldAliases.has(key)));
  const judged = {
    standing: part,
    catalog: { services, failed: new Map(), authorities: catalog.authorities },
    naming: { services: naming.services, holds: [], heldAliases, moves: [] },
    ledger: ledger === undefined ? undefined : { vips: ledger.vips, holds: [] },
    stages: { decisions: stages, holds: [] },
  };
  const made = yield* decideByService(settings, judged, input, memory, new Set(services.keys()));
  const { create, update, delete: remove, hold, brakes } = made.plan;
  if (create.length + remove.length + hold.length + brakes.length + made.desired.kept.size > 0) return undefined;
  const unchanged = plan.unchanged + plan.update.length - update.length;
  return {
    ...last,
    standing,
    catalog: { ...catalog, services: replaced(catalog.services, services) },
    undemanded: replaced(last.undemanded, undemanded),
    desired: {
      ...desired,
      objects: replaced(desired.objects, made.desired.objects),
      built: replaced(desired.built, made.desired.built),
    },
    plan: { ...plan, update, unchanged, released: [] },
  };
}

/** Services that were read anew, or `undefined` when names may differ, or whether there are endpoints. */
function* servicesReadAnew(
  before: ReadonlyMap<string, Reading>,
  now: ReadonlyMap<string, Reading>,
  group: readonly string[],
): Sliced<ReadonlyMap<ServiceKey, ReadAnew> | undefined> {
  const read = new Map<ServiceKey, ReadAnew>();
  for (const [registry, reading] of now) {
    const other = before.get(registry);
    if (other === reading) continue;
    if (other?.state !== "read" || reading.state !== "read") return undefined;
    const pairs = differences(other.snapshot, reading.snapshot);
    if (pairs === undefined) return undefined;
    if (pairs.length > 0 && group.includes(registry)) return undefined;
    for (const [was, is] of pairs) {
      yield;
      if (was.state !== "ok" || is.state !== "ok" || !hasSameNames(was.service, is.service)) return undefined;
      const { namespace, name } = is.service;
      read.set(serviceKey(registry, namespace, name), { before: was.service, now: is.service });
    }
  }
  return read;
}

/** Whether both have the same names, and neither is without endpoints. */
function hasSameNames(a: Service, b: Service): boolean {
  return a.endpoints.length > 0 && b.endpoints.length > 0 && sameValue(namesOf(a), namesOf(b));
}

/** All but what a service's own objects are made of, and what is only shown. Endpoints that are host names keep legacy names from the service. */
function namesOf({ ports, endpoints, leftOut, metadata, source, notes, ...names }: Service): object {
  return { ...names, hostNames: endpoints.flatMap(({ address }) => (isHostName(address) ? [address] : [])) };
}

/** Whether a service stands by its names, with endpoints, and nothing of it is kept or marked. */
function isSettled({ catalog, naming, desired }: Decision, standing: IndexedStanding, key: ServiceKey): boolean {
  const entry = standing.entries.get(key)?.manifest;
  const marks = [EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION];
  return (
    entry !== undefined &&
    entry.spec.hosts[0] === naming.services.get(key)?.host &&
    marks.every((name) => entry.metadata.annotations?.[name] === undefined) &&
    catalog.services.get(key)?.endpoints.length !== 0 &&
    !desired.kept.has(key)
  );
}
