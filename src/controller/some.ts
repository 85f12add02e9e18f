import {
  CLAIMANT_ANNOTATION,
  EFFECTIVE_STAGE_ANNOTATION,
  EFFECTIVE_WEIGHT_ANNOTATION,
  INSIDE_ADDRESSES_ANNOTATION,
  STEPPED_BACK_ANNOTATION,
} from "../model/claim.ts";
import { EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION, NAMES_ANNOTATION, type ObjectKey } from "../model/objects.ts";
import { type Service, type ServiceKey, serviceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import type { Demanded } from "../plan/demand.ts";
import type { Catalog, CatalogService, Reading } from "../plan/merge.ts";
import type { Naming } from "../plan/names.ts";
import type { Desired, ObjectMemo } from "../plan/objects.ts";
import type { PolicedPlan } from "../plan/policy.ts";
import { sameValue } from "../plan/same.ts";
import { type SettleMemo, settlePorts } from "../plan/settle.ts";
import type { Stages } from "../plan/stages.ts";
import {
  exchange,
  exchangePremade,
  type IndexedStanding,
  isCompanion,
  premadeService,
  type StandingIndex,
  standingOf,
} from "../plan/standing.ts";
import { runSteps, type Steps } from "../plan/steps.ts";
import type { VipLedger } from "../plan/vips.ts";
import type { ComputeInput, Decision } from "./compute.ts";
import { differences } from "./snapshots.ts";

/** The stages that look at each service by itself. */
export interface LateStages {
  readonly settled: SettleMemo;
  stages(
    from: {
      readonly standing: IndexedStanding;
      readonly catalog: Catalog;
      readonly naming: Naming;
      readonly ledger: Pick<VipLedger, "vips" | "holds"> | undefined;
      readonly moves: Stages;
      readonly previous: ObjectMemo | undefined;
      readonly demanded?: Demanded;
      /** The services that are looked at; all if left out. */
      readonly only?: ReadonlySet<ServiceKey>;
    },
    input: Pick<ComputeInput, "nowMs" | "allowDeletes" | "endpointPeaks">,
  ): Steps<{ readonly desired: Desired; readonly plan: PolicedPlan }>;
}

/** The last look at everything, kept up to date by what was decided since. */
export interface Last {
  decision: Decision & {
    readonly standing: StandingIndex;
    readonly catalog: { readonly services: Map<ServiceKey, CatalogService> };
    readonly undemanded: Map<ServiceKey, CatalogService>;
    readonly desired: Desired;
  };
  readings: ReadonlyMap<string, Reading>;
  /** Services that something is held of beyond their names. */
  readonly held: ReadonlySet<ServiceKey | undefined>;
  /** Services of which something moved that only a look at everything can judge. */
  readonly unclear: Set<ServiceKey | undefined>;
}

/** A decision on what changed. What is held is as it was before. */
export interface PartialDecision {
  readonly decision: Decision;
  /** Set when something else changed in the target that only a look at everything can judge. */
  readonly isUnfinished: boolean;
}

/** More services at once are looked at together with all others, in steps. */
const MOST_SERVICES = 128;

/** Start anew from a look at everything. */
export function startFrom(decision: Last["decision"], readings: ReadonlyMap<string, Reading>): Last {
  const ofNames = new Set(decision.naming.holds);
  // A claim that is refused says nothing of the service that it is for.
  const beyond = decision.plan.hold.filter((hold) => !ofNames.has(hold) && hold.reason !== "stage");
  const held = new Set(beyond.map(({ service }) => service));
  return { decision, readings, held, unclear: new Set() };
}

/**
 * Decide on services of which a registry says something else, and on objects of theirs that moved.
 *
 * Names, VIPs and brakes are judged over all services. So this keeps to changes that cannot touch them: the same services
 * are listed, by the same names; none is emptied or comes back; nothing is created, deleted or held.
 */
export function decideSome(
  last: Last,
  input: ComputeInput,
  changed: ReadonlySet<ObjectKey>,
  { settled, stages }: LateStages,
  group: readonly string[],
): PartialDecision | undefined {
  const { standing, catalog, undemanded, naming, ledger, stages: decisions, desired, plan } = last.decision;
  if (plan.create.length + plan.delete.length + plan.brakes.length + input.allowDeletes.size > 0) return undefined;
  const moved = movedServices(last.readings, input.readings, group);
  if (moved === undefined) return undefined;
  const objects = takeObjects(last, input, changed);
  const touched = new Set([...moved.keys(), ...objects, ...plan.update.map(({ object }) => object.service)]);
  if (touched.size > MOST_SERVICES) return undefined;
  const services = new Map<ServiceKey, CatalogService>();
  /** Nobody asked for them: only what they will be made of changes. */
  const unasked = new Map<ServiceKey, CatalogService>();
  for (const key of touched) {
    const moves = undemanded.has(key) ? moved.get(key) : undefined;
    if (moves !== undefined && !standing.byService.has(key)) {
      unasked.set(key, moves.now);
      continue;
    }
    const known = catalog.services.get(key);
    if (known === undefined || !isSettled(last, key) || group.includes(known.registry)) return undefined;
    const change = moved.get(key);
    // Of two services that a registry lists by one name another one may be the one that counts.
    // Its routes go by its ports, and whether it may be moved does.
    if (change !== undefined && decisions.has(key) && !sameValue(change.before.ports, change.now.ports))
      return undefined;
    if (change !== undefined && known !== change.before && known !== settled.get(change.before)?.settled)
      return undefined;
    services.set(
      key,
      change === undefined ? known : settlePorts(change.now, standing.entries.get(key)?.manifest, settled),
    );
  }
  const part = standingOf(standing, services.keys());
  const heldAliases = new Set([...part.objects.keys()].filter((key) => naming.heldAliases.has(key)));
  const made = runSteps(
    stages(
      {
        standing: part,
        catalog: { services, failed: new Map(), authorities: catalog.authorities },
        naming: { services: naming.services, holds: [], heldAliases },
        ledger: ledger === undefined ? undefined : { vips: ledger.vips, holds: [] },
        moves: { decisions, holds: [] },
        previous: desired.memo,
        only: new Set(services.keys()),
      },
      input,
    ),
  );
  const { create, update, delete: remove, hold, brakes, endpointTotals } = made.plan;
  if (create.length + remove.length + hold.length + brakes.length + made.desired.kept.size > 0) return undefined;
  for (const [key, service] of services) catalog.services.set(key, service);
  for (const [key, service] of unasked) undemanded.set(key, service);
  for (const [key, built] of made.desired.memo) desired.memo.set(key, built);
  const unchanged = plan.unchanged + plan.update.length - update.length;
  last.readings = new Map(input.readings);
  last.decision = {
    ...last.decision,
    plan: { ...plan, update, unchanged, endpointTotals },
  };
  return { decision: last.decision, isUnfinished: last.unclear.size > 0 };
}

interface MovedService {
  readonly before: Service;
  readonly now: Service;
}

/** Services that were read anew, or `undefined` when names may differ, or whether there are endpoints. */
function movedServices(
  before: ReadonlyMap<string, Reading>,
  now: ReadonlyMap<string, Reading>,
  group: readonly string[],
): ReadonlyMap<ServiceKey, MovedService> | undefined {
  const moved = new Map<ServiceKey, MovedService>();
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
      moved.set(serviceKey(registry, namespace, name), { before: was.service, now: is.service });
    }
  }
  return moved;
}

/** Whether both have the same names, and neither is without endpoints. */
function hasSameNames(a: Service, b: Service): boolean {
  return a.endpoints.length > 0 && b.endpoints.length > 0 && sameValue(namesOf(a), namesOf(b));
}

/** All but what a service's own objects are made of, and what is only shown: a field that comes later counts as a name. */
function namesOf({ ports, endpoints, leftOut, metadata, source, notes, ...names }: Service): object {
  return names;
}

/** Take over objects that moved; tells whose they are. What cannot be judged by itself is noted as unclear. */
function takeObjects(
  { decision: { standing }, unclear }: Last,
  { standing: live }: ComputeInput,
  changed: ReadonlySet<ObjectKey>,
): ReadonlySet<ServiceKey> {
  const services = new Set<ServiceKey>();
  for (const key of changed) {
    const [premade, premadeNow] = [standing.premade.get(key), live.premade.get(key)];
    if (premade !== undefined && premadeNow !== undefined && standing.foreign.get(key) === live.foreign.get(key)) {
      if (premade === premadeNow) continue;
      if (premade.service !== undefined && isSameButForContent(premade, premadeNow)) {
        exchangePremade(standing, premade, premadeNow);
        services.add(premadeService(standing, premade) ?? premade.service);
        continue;
      }
    }
    const [before, now] = [standing.objects.get(key), live.objects.get(key)];
    if (before !== undefined && before === now) continue;
    if (before?.service === undefined || now === undefined || !isSameButForContent(before, now)) {
      unclear.add((before ?? premade)?.service).add((now ?? premadeNow)?.service);
      continue;
    }
    exchange(standing, before, now);
    services.add(before.service);
  }
  return services;
}

const MARKS: readonly string[] = [
  NAMES_ANNOTATION,
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

/** Whether a service stands by its names, with endpoints, and nothing of it is held, marked or unclear. */
function isSettled({ decision, held, unclear }: Last, key: ServiceKey): boolean {
  const { standing, catalog, naming, desired } = decision;
  const entry = standing.entries.get(key)?.manifest;
  const marks = [EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION];
  return (
    entry !== undefined &&
    entry.spec.hosts[0] === naming.services.get(key)?.host &&
    marks.every((name) => entry.metadata.annotations?.[name] === undefined) &&
    catalog.services.get(key)?.endpoints.length !== 0 &&
    !desired.kept.has(key) &&
    !held.has(key) &&
    !unclear.has(key)
  );
}
