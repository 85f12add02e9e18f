import { finish } from "../async/slices.ts";
import { isHostName } from "../istio/host-names.ts";
import {
  CLAIMANT_ANNOTATION,
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
  STEPPED_BACK_ANNOTATION,
} from "../model/claim.ts";
import {
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  NAMES_ANNOTATION,
  type ObjectKey,
  SUCCEEDED_BY_ANNOTATION,
} from "../model/objects.ts";
import { type Service, type ServiceKey, serviceKey } from "../model/service.ts";
import type { Settings } from "../model/settings.ts";
import type { PremadeEntry, Standing, StandingObject } from "../model/standing.ts";
import type { CatalogService, Reading } from "./catalog/catalog.ts";
import { settlePorts } from "./catalog/settle.ts";
import type { Decision, DecisionInput } from "./decision.ts";
import { differences } from "./differences.ts";
import type { Ground, PlanMemory } from "./memory.ts";
import { decideByService } from "./per-service.ts";
import { replaced } from "./replaced.ts";
import { sameValue } from "./same.ts";
import { type Exchange, exchanged, type IndexedStanding, isCompanion, premadeService, standingOf } from "./standing.ts";

/** A decision on what changed. What is held is as it was before. */
export interface PartialDecision {
  readonly decision: Decision;
  /** Set when something else changed in the target that only a decision on everything can judge. */
  readonly isUnfinished: boolean;
}

/** More services at once are decided together with all others, in slices. */
const MOST_SERVICES = 128;

/** What a partial decision can go on from after a decision on everything. */
export function groundOf({ naming, plan, standing }: Decision, readings: ReadonlyMap<string, Reading>): Ground {
  const ofNames = new Set(naming.holds);
  // A claim that is refused says nothing of the service that it is for.
  const beyond = plan.hold.filter(
    (hold) => !ofNames.has(hold) && hold.reason !== "stage" && hold.services === undefined,
  );
  const held = new Set(beyond.map(({ service }) => service));
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
  const { decision: last, ground } = memory;
  memory.ground = undefined;
  if (last === undefined || ground === undefined || changed === undefined) return undefined;
  const { create, update, delete: remove, brakes } = last.plan;
  if (create.length + remove.length + brakes.length + input.allowDeletes.size > 0) return undefined;
  if (update.some(({ turn }) => turn !== undefined)) return undefined;
  const read = servicesReadAnew(ground.readings, input.readings, settings.merge);
  if (read === undefined) return undefined;
  const objects = objectsChanged(last.standing, input.standing, changed);
  const standing = exchanged(last.standing, objects.exchange);
  const unclear = new Set([...ground.unclear, ...objects.unclear]);
  const divided = divide({ last, standing, held: ground.held, unclear, read, objects, settings, memory });
  if (divided === undefined) return undefined;
  const decision = decideOn(divided, { last, standing, settings, input, memory });
  if (decision === undefined) return undefined;
  memory.decision = decision;
  memory.ground = { readings: new Map(input.readings), held: ground.held, unclear };
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

function divide({ last, standing, held, unclear, read, objects, settings, memory }: Question): Divided | undefined {
  const updated = last.plan.update.map(({ object }) => object.service);
  const touched = new Set([...read.keys(), ...objects.services, ...updated]);
  if (touched.size > MOST_SERVICES) return undefined;
  const services = new Map<ServiceKey, CatalogService>();
  const undemanded = new Map<ServiceKey, CatalogService>();
  for (const key of touched) {
    if (last.beyond.has(key) && !last.undemanded.has(key)) continue;
    const change = read.get(key);
    if (change !== undefined && last.undemanded.has(key) && !standing.byService.has(key)) {
      undemanded.set(key, change.now);
      continue;
    }
    const known = last.catalog.services.get(key);
    if (known === undefined || settings.merge.includes(known.registry)) return undefined;
    if (held.has(key) || unclear.has(key) || !isSettled(last, standing, key)) return undefined;
    if (change === undefined) {
      services.set(key, known);
      continue;
    }
    // Its routes go by its ports, and whether it may be moved does.
    if (last.stages.has(key) && !sameValue(change.before.ports, change.now.ports)) return undefined;
    // Of two services that a registry lists by one name another one may be the one that counts.
    if (known !== change.before && known !== memory.settled.get(change.before)?.settled) return undefined;
    services.set(key, settlePorts(change.now, standing.entries.get(key)?.manifest, memory));
  }
  return { services, undemanded };
}

interface Ways {
  readonly last: Decision;
  readonly standing: IndexedStanding;
  readonly settings: Settings;
  readonly input: DecisionInput;
  readonly memory: PlanMemory;
}

function decideOn(
  { services, undemanded }: Divided,
  { last, standing, settings, input, memory }: Ways,
): Decision | undefined {
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
  const made = finish(decideByService(settings, judged, input, memory, new Set(services.keys())));
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
function servicesReadAnew(
  before: ReadonlyMap<string, Reading>,
  now: ReadonlyMap<string, Reading>,
  group: readonly string[],
): ReadonlyMap<ServiceKey, ReadAnew> | undefined {
  const read = new Map<ServiceKey, ReadAnew>();
  for (const [registry, reading] of now) {
    const other = before.get(registry);
    if (other === reading) continue;
    if (other?.state !== "read" || reading.state !== "read") return undefined;
    const pairs = differences(other.snapshot, reading.snapshot);
    if (pairs === undefined || pairs.length > MOST_SERVICES) return undefined;
    if (pairs.length > 0 && group.includes(registry)) return undefined;
    for (const [was, is] of pairs) {
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

interface ChangedObjects {
  /** Whose objects have newer versions. */
  readonly services: ReadonlySet<ServiceKey>;
  readonly exchange: Exchange;
  /** Services of which something changed that cannot be judged by itself. */
  readonly unclear: ReadonlySet<ServiceKey | undefined>;
}

/** What became of the objects that changed. */
function objectsChanged(standing: IndexedStanding, live: Standing, changed: ReadonlySet<ObjectKey>): ChangedObjects {
  const services = new Set<ServiceKey>();
  const unclear = new Set<ServiceKey | undefined>();
  const objects: (readonly [StandingObject, StandingObject])[] = [];
  const premade: (readonly [PremadeEntry, PremadeEntry])[] = [];
  for (const key of changed) {
    const [filled, filledNow] = [standing.premade.get(key), live.premade.get(key)];
    if (filled !== undefined && filledNow !== undefined && standing.foreign.get(key) === live.foreign.get(key)) {
      if (filled === filledNow) continue;
      if (filled.service !== undefined && isSameButForContent(filled, filledNow)) {
        premade.push([filled, filledNow]);
        services.add(premadeService(standing, filled) ?? filled.service);
        continue;
      }
    }
    const [before, now] = [standing.objects.get(key), live.objects.get(key)];
    if (before !== undefined && before === now) continue;
    if (before?.service === undefined || now === undefined || !isSameButForContent(before, now)) {
      unclear.add((before ?? filled)?.service).add((now ?? filledNow)?.service);
      continue;
    }
    objects.push([before, now]);
    services.add(before.service);
  }
  return { services, unclear, exchange: { objects, premade } };
}

const MARKS: readonly string[] = [
  NAMES_ANNOTATION,
  SUCCEEDED_BY_ANNOTATION,
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  CLAIMANT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
  STEPPED_BACK_ANNOTATION,
];

/** Whether both give the same names, VIPs and marks to the same service, so that only what is written into them differs. */
function isSameButForContent(a: StandingObject, b: StandingObject): boolean {
  return (
    a.service === b.service &&
    a.registry === b.registry &&
    a.uid === b.uid &&
    a.createdMs === b.createdMs &&
    b.yielded === undefined &&
    a.terminating === b.terminating &&
    sameEntry(a, b)
  );
}

function sameEntry({ manifest: a }: StandingObject, { manifest: b }: StandingObject): boolean {
  if (a.kind !== "ServiceEntry" || b.kind !== "ServiceEntry") return a.kind === b.kind;
  return (
    isCompanion(a.metadata) === isCompanion(b.metadata) &&
    sameValue(a.spec.hosts, b.spec.hosts) &&
    sameValue(a.spec.addresses, b.spec.addresses) &&
    sameValue(a.spec.ports, b.spec.ports) &&
    MARKS.every((name) => a.metadata.annotations?.[name] === b.metadata.annotations?.[name])
  );
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
