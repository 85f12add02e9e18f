import { IDLE_SINCE_ANNOTATION } from "../model/demand.ts";
import { ANNOTATION_PREFIX, type ObjectKey, type OwnedObject } from "../model/objects.ts";
import type { Create, Delete, Hold, Plan, Update } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import type { Desired } from "./objects.ts";
import { hasFields, sameValue } from "./same.ts";
import { type IndexedStanding, isCompanion, isExposure } from "./standing.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";

/** Objects found equal before: desired object → the standing version it equals. The caller keeps it from pass to pass. */
export type EqualMemo = WeakMap<OwnedObject, StandingObject>;

/**
 * Changes that turn `standing` into `desired`. Pure: no clock, no I/O, inputs untouched.
 *
 * An object of ours that is not desired goes, unless its service or itself is kept. What is not ours is never changed.
 */
export const plan = atOnce(planSteps);

/** {@link plan} in steps. */
export function* planSteps(desired: Desired, standing: IndexedStanding, equal: EqualMemo = new WeakMap()): Steps<Plan> {
  let looked = 0;
  const create: Create[] = [];
  const update: Update[] = [];
  const remove: Delete[] = [];
  const hold: Hold[] = [...desired.holds];
  let unchanged = 0;
  const wanted = new Set<ObjectKey>();
  /** Services whose entry cannot be made: nothing may point to it. */
  const entryless = new Set<ServiceKey>();
  for (const object of desired.objects) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    wanted.add(object.key);
    const existing = standing.objects.get(object.key);
    if (desired.keptObjects.has(object.key)) continue;
    if (existing === undefined) {
      const foreign = standing.foreign.get(object.key);
      if (foreign !== undefined) {
        hold.push(clash(object));
        const { kind, metadata } = object.manifest;
        if (kind === "ServiceEntry" && !isCompanion(metadata)) entryless.add(object.service);
      } else if (!entryless.has(object.service)) create.push({ kind: "create", object });
    } else if (existing.service === undefined) hold.push(unknown(existing));
    else if (existing.yielded !== undefined) hold.push(yielded(existing, existing.yielded));
    else if (equal.get(object) === existing) unchanged++;
    else if (sameObject(object, existing)) {
      equal.set(object, existing);
      unchanged++;
    } else update.push({ kind: "update", object, standing: existing });
  }
  for (const object of standing.objects.values()) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (wanted.has(object.key) || desired.keptObjects.has(object.key)) continue;
    if (object.service === undefined) hold.push(unknown(object));
    else if (object.yielded !== undefined) hold.push(yielded(object, object.yielded));
    else if (isExposure(object) || !desired.kept.has(object.service))
      remove.push({ kind: "delete", standing: object, why: whyGone(object, desired, standing) });
  }
  return {
    create: create.sort(byObject),
    update: update.sort(byObject),
    delete: remove.sort(byStanding),
    hold,
    unchanged,
  };
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

function unknown({ key, registry }: StandingObject): Hold {
  const message = `${objectText(key)} carries our labels but no readable annotation x2istio.io/service: restore it, or remove the labels`;
  return { reason: "unknown", subject: key, service: undefined, registry, message };
}

/** `Service shop/orders` */
function objectText(key: ObjectKey): string {
  return key.replace("/", " ");
}

function whyGone(object: StandingObject, desired: Desired, standing: IndexedStanding): string {
  if (isExposure(object) && standing.entries.has(object.service ?? "")) return "no exposure asks for it any more";
  const goes = object.service === undefined || !desired.memo.has(object.service);
  if (goes) {
    const { annotations } = standing.entries.get(object.service ?? "")?.manifest.metadata ?? {};
    const since = annotations?.["x2istio.io/gone-since"];
    const idleSince = annotations?.[IDLE_SINCE_ANNOTATION];
    if (since === undefined && idleSince !== undefined) return "nobody has asked for it in a long time";
    return since === undefined ? "its entry is gone" : `gone from its registry since ${since}`;
  }
  return object.manifest.kind === "Service" ? "no alias rule gives it any more" : "no legacy name needs it any more";
}
