import { inSlices, type Sliced } from "../async/slices.ts";
import { IDLE_SINCE_ANNOTATION } from "../model/demand.ts";
import { ANNOTATION_PREFIX, type ObjectKey, type OwnedObject } from "../model/objects.ts";
import type { Create, Delete, Hold, Plan, Update } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import { type PlanMemory, planMemory } from "./memory.ts";
import type { Desired } from "./objects/desired.ts";
import { hasFields, sameValue } from "./same.ts";
import { type IndexedStanding, isCompanion, isExposure } from "./standing.ts";

/** What is compared, and what came of it so far. */
interface State {
  readonly desired: Desired;
  readonly standing: IndexedStanding;
  readonly equal: PlanMemory["equal"];
  readonly create: Create[];
  readonly update: Update[];
  readonly remove: Delete[];
  readonly hold: Hold[];
  /** Keys of all desired objects. */
  readonly wanted: Set<ObjectKey>;
  /** Services whose entry cannot be made: nothing may point to it. */
  readonly entryless: Set<ServiceKey>;
  unchanged: number;
}

/**
 * Changes that turn `standing` into `desired`. Pure: no clock, no I/O, inputs untouched.
 *
 * An object of ours that is not desired goes, unless its service or itself is kept. What is not ours is never changed.
 */
export function* plan(desired: Desired, standing: IndexedStanding, { equal }: PlanMemory = planMemory()): Sliced<Plan> {
  const state: State = {
    ...{ desired, standing, equal, create: [], update: [], remove: [], hold: [...desired.holds] },
    ...{ wanted: new Set(), entryless: new Set(), unchanged: 0 },
  };
  yield* inSlices(desired.objects.values(), (objects) => {
    for (const object of objects) compare(state, object);
  });
  yield* inSlices(standing.objects.values(), (object) => {
    if (!state.wanted.has(object.key) && !desired.keptObjects.has(object.key)) judgeUnwanted(state, object);
  });
  return {
    create: state.create.sort(byObject),
    update: state.update.sort(byObject),
    delete: state.remove.sort(byStanding),
    hold: state.hold,
    unchanged: state.unchanged,
  };
}

function compare(state: State, object: OwnedObject): void {
  const { desired, standing, equal } = state;
  state.wanted.add(object.key);
  if (desired.keptObjects.has(object.key)) return;
  const existing = standing.objects.get(object.key);
  if (existing === undefined) addNew(state, object);
  else if (existing.service === undefined) state.hold.push(unknown(existing));
  else if (existing.yielded !== undefined) state.hold.push(yielded(existing, existing.yielded));
  else if (existing.terminating !== undefined) state.hold.push(terminating(existing, existing.terminating));
  else if (equal.get(object) === existing) state.unchanged++;
  else if (sameObject(object, existing)) {
    equal.set(object, existing);
    state.unchanged++;
  } else state.update.push({ kind: "update", object, standing: existing });
}

function addNew({ standing, hold, create, entryless }: State, object: OwnedObject): void {
  if (standing.foreign.has(object.key)) {
    hold.push(clash(object));
    const { kind, metadata } = object.manifest;
    if (kind === "ServiceEntry" && !isCompanion(metadata)) entryless.add(object.service);
  } else if (!entryless.has(object.service)) create.push({ kind: "create", object });
}

/** An object of ours that is neither desired nor kept by its key. */
function judgeUnwanted({ desired, standing, hold, remove }: State, object: StandingObject): void {
  if (object.service === undefined) hold.push(unknown(object));
  else if (object.yielded !== undefined) hold.push(yielded(object, object.yielded));
  else if (object.terminating !== undefined) hold.push(terminating(object, object.terminating));
  else if (isExposure(object) || !desired.kept.has(object.service))
    remove.push({ kind: "delete", standing: object, why: whyGone(object, desired, standing) });
}

function byObject(a: Create | Update, b: Create | Update): number {
  return a.object.key < b.object.key ? -1 : 1;
}

function byStanding(a: Delete, b: Delete): number {
  return a.standing.key < b.standing.key ? -1 : 1;
}

/**
 * Whether what stands is what should stand: the fields we set of a Service, the whole spec of Istio's kinds (nothing
 * defaults there), our labels, and exactly our annotations. Other people's labels and annotations do not count.
 */
export function sameObject({ manifest: wanted }: OwnedObject, { manifest: live }: StandingObject): boolean {
  const specs = wanted.kind === "Service" ? hasFields(live.spec, wanted.spec) : sameValue(live.spec, wanted.spec);
  return (
    specs &&
    hasFields(live.metadata.labels ?? {}, wanted.metadata.labels) &&
    sameValue(ours(live.metadata.annotations), ours(wanted.metadata.annotations))
  );
}

function ours(annotations: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith(ANNOTATION_PREFIX)));
}

function clash({ key, service, registry, manifest }: OwnedObject): Hold {
  const { kind, metadata } = manifest;
  const message = `${kind} ${metadata.namespace}/${metadata.name} exists and is not ours`;
  return { reason: "foreign", subject: key, service, registry, message, regarding: key };
}

function yielded({ key, service, registry }: StandingObject, why: string): Hold {
  return { reason: "yielded", subject: key, service, registry, message: `${objectText(key)} is left alone: ${why}` };
}

/** Asked for once, a deletion is not asked for again; nothing of it is changed, and what is to stand there is made once it is gone. */
function terminating({ key, service, registry }: StandingObject, why: string): Hold {
  const message = `${objectText(key)} is being deleted: ${why}`;
  return { reason: "terminating", subject: key, service, registry, message };
}

function unknown({ key, registry }: StandingObject): Hold {
  const message = `${objectText(key)} carries our labels but no readable annotation x2istio.dev/service: restore it, or remove the labels`;
  return { reason: "unknown", subject: key, service: undefined, registry, message };
}

/** `Service shop/orders` */
function objectText(key: ObjectKey): string {
  return key.replace("/", " ");
}

function whyGone(object: StandingObject, desired: Desired, standing: IndexedStanding): string {
  if (isExposure(object) && standing.entries.has(object.service ?? "")) return "no exposure asks for it any more";
  const goes = object.service === undefined || !desired.built.has(object.service);
  if (desired.pruned?.has(object.registry) === true) return "its registry was pruned";
  if (goes) {
    const { annotations } = standing.entries.get(object.service ?? "")?.manifest.metadata ?? {};
    const since = annotations?.["x2istio.dev/gone-since"];
    const idleSince = annotations?.[IDLE_SINCE_ANNOTATION];
    if (since === undefined && idleSince !== undefined) return "nobody has asked for it in a long time";
    return since === undefined ? "its entry is gone" : `gone from its registry since ${since}`;
  }
  return object.manifest.kind === "Service" ? "no alias rule gives it any more" : "no legacy name needs it any more";
}
