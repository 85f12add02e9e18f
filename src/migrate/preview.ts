import type { Claim } from "../model/claim.ts";
import { type Manifest, type ObjectKey, objectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing, StandingObject } from "../model/standing.ts";
import type { Decision } from "../plan/decision.ts";
import { sameValue } from "../plan/same.ts";
import { isAnnouncement } from "../plan/stages/stage-routes.ts";
import { standingStage } from "../plan/stages/standing-stage.ts";
import { stageShareText } from "./moves.ts";

/** Decides from what was read, as if this stood in the target. */
export type DecideFor = (standing: Standing) => Decision;

/** What becomes of one object. */
export interface ObjectChange {
  readonly object: ObjectKey;
  readonly action: "create" | "update" | "delete";
  /** What is another way afterwards, in words. */
  readonly what: string;
}

/** What a changed claim would lead to. */
export interface Preview {
  /** Why it is refused, now or after some of the passes; sentences without a full stop. */
  readonly refused: readonly string[];
  /** Over all passes that it takes. */
  readonly changes: readonly ObjectChange[];
  /** Passes, each of which takes one step. */
  readonly passes: number;
}

/** A walk from outside to retired takes three. */
const MOST_PASSES = 5;

/** Decide as if `claim` were what it says, pass by pass, and tell what becomes of the objects of its service. Writes nothing. */
export function previewClaim(standing: Standing, decide: DecideFor, service: ServiceKey, claim: Claim): Preview {
  const key = objectKey("Service", claim.namespace, claim.name);
  // As if all of it had stood for long: the times between the passes are not foreseen.
  const objects = new Map(
    [...standing.objects].map(([id, one]) => [id, one.service === service ? { ...one, writtenMs: undefined } : one]),
  );
  let next: Standing = { ...standing, objects, claims: new Map([...(standing.claims ?? []), [key, claim]]) };
  let last = decide(next);
  let passes = 0;
  for (; passes < MOST_PASSES && !isRefused(last, service) && hasWrites(last, service); passes++) {
    next = { ...next, objects: afterPass(next.objects, last, service) };
    last = decide(next);
  }
  const before = new Map([...standing.objects].filter(([, object]) => object.service === service));
  const after = new Map([...next.objects].filter(([, object]) => object.service === service));
  const blockers = isRefused(last, service) ? (last.stages.get(service)?.blockers ?? []) : [];
  return { refused: blockers.map(({ message }) => message), changes: changesBetween(before, after), passes };
}

function isRefused({ stages }: Decision, service: ServiceKey): boolean {
  return stages.get(service)?.refusedTo !== undefined;
}

function hasWrites({ plan }: Decision, service: ServiceKey): boolean {
  return (
    [...plan.create, ...plan.update].some(({ object }) => object.service === service) ||
    plan.delete.some(({ standing }) => standing.service === service)
  );
}

/** Whether nothing of this service is to be written. */
export function isInStep(decision: Decision, service: ServiceKey): boolean {
  return !hasWrites(decision, service);
}

/** What stands once the pass has written what it would of one service. */
function afterPass(
  objects: Standing["objects"],
  { plan }: Decision,
  service: ServiceKey,
): ReadonlyMap<ObjectKey, StandingObject> {
  const after = new Map(objects);
  for (const { object } of [...plan.create, ...plan.update]) {
    if (object.service !== service) continue;
    const { key, registry, manifest } = object;
    const before = objects.get(key) ?? {
      ...{ key, service, registry, uid: "", resourceVersion: "" },
      ...{ createdMs: undefined, writtenMs: undefined, statusAddresses: [] },
    };
    after.set(key, { ...before, manifest });
  }
  for (const { standing } of plan.delete) if (standing.service === service) after.delete(standing.key);
  return after;
}

/** What became of objects, the entry first. */
export function changesBetween(
  before: ReadonlyMap<ObjectKey, Pick<StandingObject, "manifest">>,
  after: ReadonlyMap<ObjectKey, Pick<StandingObject, "manifest">>,
): readonly ObjectChange[] {
  const changes = [...new Set([...before.keys(), ...after.keys()])].flatMap((object): readonly ObjectChange[] => {
    const [had, has] = [before.get(object)?.manifest, after.get(object)?.manifest];
    if (has === undefined) return [{ object, action: "delete", what: "" }];
    if (had === undefined) return [{ object, action: "create", what: routesText(has) }];
    return sameValue(had, has) ? [] : [{ object, action: "update", what: differenceText(had, has) }];
  });
  return changes.sort((a, b) => (a.object < b.object ? -1 : 1));
}

function differenceText(had: Manifest, has: Manifest): string {
  if (had.kind === "ServiceEntry" && has.kind === "ServiceEntry") {
    const [from, to] = [standingStage({ manifest: had }), standingStage({ manifest: has })].map(stageShareText);
    const [few, many] = [had.spec.endpoints?.length ?? 0, has.spec.endpoints?.length ?? 0];
    const parts = [
      ...(from === to ? [] : [`stage ${from} → ${to}`]),
      ...(few === many ? [] : [`endpoints ${few} → ${many}`]),
    ];
    return parts.join("; ") || "annotations changed";
  }
  if (had.kind === "Service" && has.kind === "Service")
    return `leads to ${had.spec.externalName} → ${has.spec.externalName}`;
  return routesText(has);
}

/** `http: 10 % to orders.shop.svc.cluster.local, 90 % to orders.shop.vms.mesh.internal` */
function routesText(manifest: Manifest): string {
  if (manifest.kind !== "VirtualService") return "";
  const { http = [], tcp = [], tls = [] } = manifest.spec;
  const routes = [...http.filter((rule) => !isAnnouncement(rule)), ...tcp, ...tls];
  const texts = routes.map(({ route }) =>
    route.map(({ destination, weight = 100 }) => `${weight} % to ${destination.host}`).join(", "),
  );
  return [...new Set(texts)].join("; ");
}
