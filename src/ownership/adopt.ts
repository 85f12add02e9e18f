import { setTimeout as delay } from "node:timers/promises";
import { fieldsOf, stringsOf } from "../istio/fields.ts";
import { handedOverTo } from "../istio/ownership.ts";
import { soundSpec, standingObject } from "../istio/standing.ts";
import type { RawObject } from "../kube/client/raw.ts";
import type { ObjectEditor } from "../kube/write/object-editor.ts";
import {
  HANDED_OVER_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  NAMES_ANNOTATION,
  type ObjectKey,
  OWNER_LABEL,
  REGISTRY_LABEL,
  RELEASED_ANNOTATION,
  SERVICE_ANNOTATION,
} from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import type { Target } from "../model/target.ts";
import type { Decision } from "../plan/decision.ts";
import { readNames } from "../plan/names/names-annotation.ts";
import type { OwnershipAction } from "./actions.ts";
import { answeringEntry, type Candidate, candidatesOf, keyFrom, refusal } from "./adoptable.ts";

/** What objects of others are taken over with. */
export interface AdoptTools {
  readonly target: Pick<Target, "standing" | "nowMs">;
  /** Decides from what was read, as if this stood in the target. */
  readonly decide: (standing: Standing) => Decision;
  readonly editor: ObjectEditor;
  /** Whose they are to be. */
  readonly owner: string;
  /** Of DNS answers. */
  readonly ttlSeconds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/** Names are given out this long after they were written. */
const SETTLE_MS = 2000;

/**
 * Actions that take over objects of others, so that no caller sees a gap.
 *
 * What stands in the very place of ours becomes ours and is brought in step by the next pass. An entry elsewhere first hands its
 * names over; it is deleted once ours answers them and nobody can have the old answer any more.
 *
 * @param objects `<kind>/<namespace>/<name>`, also of what was released; without any, all that stands in the way of ours
 */
export async function adoptActions(tools: AdoptTools, objects: readonly string[]): Promise<readonly OwnershipAction[]> {
  const found = candidatesOf(tools.target.standing(), tools.decide);
  const raws = new Map(await Promise.all(found.map(async ({ key }) => [key, await tools.editor.read(key)] as const)));
  const ports = portsOnceOurs(tools, found, raws);
  const candidates = found.map((one) => ({ ...one, ports: ports.get(one.service) }));
  if (objects.length === 0)
    return Promise.all([
      ...candidates.map((one) => actionFor(tools, one, raws.get(one.key))),
      ...releasedOf(tools.target.standing()).map((key) => takeBack(tools, key)),
    ]);
  return Promise.all(
    objects.map((text) => {
      const key = keyFrom(text);
      const candidate = candidates.find((one) => one.key === key);
      if (candidate !== undefined) return actionFor(tools, candidate, raws.get(candidate.key));
      return key === undefined ? unknown(text) : takeBack(tools, key);
    }),
  );
}

/** Objects of ours that were released. */
function releasedOf({ objects }: Pick<Standing, "objects">): readonly ObjectKey[] {
  const released = [...objects.values()].filter(
    ({ manifest }) => manifest.metadata.annotations?.[RELEASED_ANNOTATION] !== undefined,
  );
  return released.map(({ key }) => key).sort();
}

/** Numbers of the ports that services would have if all candidates in the place of ours were ours: an entry keeps its numbers where it may. */
function portsOnceOurs(
  { target, decide, owner }: AdoptTools,
  candidates: readonly Candidate[],
  raws: ReadonlyMap<ObjectKey, RawObject | undefined>,
): ReadonlyMap<ServiceKey, ReadonlySet<number>> {
  if (candidates.length === 0) return new Map();
  const standing = target.standing();
  const taken = candidates.flatMap(({ key, service, registry, place }) => {
    const raw = raws.get(key);
    if (raw === undefined || place !== "same" || !key.startsWith("ServiceEntry/")) return [];
    const { metadata = {}, apiVersion = "" } = raw as RawObject & { readonly apiVersion?: string };
    const source = {
      ...{ apiVersion, kind: "ServiceEntry", namespace: metadata.namespace ?? "", name: metadata.name ?? "" },
      labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: owner, [REGISTRY_LABEL]: registry },
      annotations: { [SERVICE_ANNOTATION]: service },
      spec: soundSpec("ServiceEntry", fieldsOf(raw.spec)),
      ...{ uid: "", resourceVersion: "", createdMs: undefined, writtenMs: undefined, statusAddresses: [] },
    };
    return [[key, standingObject(source)] as const];
  });
  const objects = new Map([...standing.objects, ...taken]);
  const { desired } = decide({ ...standing, objects, foreign: new Map(), premade: new Map() });
  return new Map(
    [...desired.objects].flatMap(([service, all]) => {
      const entry = all.find(({ manifest }) => manifest.kind === "ServiceEntry" && manifest.spec.ports.length > 0);
      const { manifest } = entry ?? {};
      return manifest?.kind === "ServiceEntry"
        ? [[service, new Set(manifest.spec.ports.map(({ number }) => number))] as const]
        : [];
    }),
  );
}

/** Labels by which the syncs of others know their objects, and delete those that their registry does not list: consul-k8s, consul2istio. */
const SYNC_LABELS: Readonly<Record<string, string>> = { consul: "true", manager: "Aeraki", registry: "consul" };

function syncLabelsOff({ metadata }: RawObject): Readonly<Record<string, null>> {
  const theirs = Object.entries(SYNC_LABELS).filter(([name, value]) => metadata?.labels?.[name] === value);
  return Object.fromEntries(theirs.map(([name]) => [name, null]));
}

function unknown(text: string): OwnershipAction {
  return { kind: "refuse", key: text, why: "an object is named <kind>/<namespace>/<name>" };
}

/** What was released comes back. */
async function takeBack({ target, editor }: AdoptTools, key: ObjectKey): Promise<OwnershipAction> {
  const object = target.standing().objects.get(key);
  const isReleased = object?.manifest.metadata.annotations?.[RELEASED_ANNOTATION] !== undefined;
  if (!isReleased)
    return { kind: "refuse", key, why: object === undefined ? "it conflicts with nothing" : "it is ours already" };
  const raw = await editor.read(key);
  if (raw === undefined) return { kind: "refuse", key, why: "it is not there any more" };
  const marks = { annotations: { [RELEASED_ANNOTATION]: null } };
  const { service } = object;
  return { kind: "adopt", key, service, why: "it is kept in step again", write: () => editor.mark(key, raw, marks) };
}

function actionFor(tools: AdoptTools, candidate: Candidate, object: RawObject | undefined): OwnershipAction {
  const { key, service, place } = candidate;
  if (object === undefined) return { kind: "refuse", key, service, why: "it is not there any more" };
  const why = refusal(candidate, object);
  if (why !== undefined) return { kind: "refuse", key, service, why };
  return place === "same" ? takePlace(tools, candidate, object) : handOver(tools, candidate, object);
}

function takePlace(
  { owner, editor }: AdoptTools,
  { key, service, registry }: Candidate,
  object: RawObject,
): OwnershipAction {
  const marks = {
    labels: {
      ...syncLabelsOff(object),
      ...{ [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: owner, [REGISTRY_LABEL]: registry },
    },
    annotations: { [SERVICE_ANNOTATION]: service, [HANDED_OVER_ANNOTATION]: null, [RELEASED_ANNOTATION]: null },
  };
  const why = `becomes ours, for ${service}`;
  return { kind: "adopt", key, service, why, write: () => editor.mark(key, object, marks) };
}

function handOver(tools: AdoptTools, { key, service }: Candidate, object: RawObject): OwnershipAction {
  const { owner, target, editor, ttlSeconds } = tools;
  const since = handedOverTo(object.metadata?.annotations);
  if (since?.owner !== owner) {
    const annotations = { [HANDED_OVER_ANNOTATION]: `${owner}@${new Date(target.nowMs()).toISOString()}` };
    const why = `hands its names over to ${service}`;
    return { kind: "hand over", key, service, why, write: () => editor.mark(key, object, { annotations }) };
  }
  const answering = answeringEntry(target.standing(), service, stringsOf(fieldsOf(object.spec).hosts));
  if (answering === undefined)
    return { kind: "wait", key, service, why: `the entry of ${service} does not have its names yet` };
  const waitMs = ttlSeconds * 1000 + SETTLE_MS;
  const writtenMs = target.standing().objects.get(answering)?.writtenMs ?? target.nowMs();
  const leftMs = Math.min(waitMs, Math.max(since.sinceMs, writtenMs) + waitMs - target.nowMs());
  const dueMs = performance.now() + leftMs;
  const why = `its names are answered by ${answering}`;
  return { kind: "delete", key, service, why, write: () => removeReplaced(tools, key, object, answering, dueMs) };
}

/** Delete an entry that handed its names over, once whoever asked before has no answer of it any more. */
async function removeReplaced(
  { editor, signal, onProgress }: AdoptTools,
  key: ObjectKey,
  object: RawObject,
  answering: ObjectKey,
  dueMs: number,
): ReturnType<ObjectEditor["remove"]> {
  onProgress(`waiting until no cache can hold the old answers of ${key}`);
  await delay(Math.max(0, dueMs - performance.now()), undefined, { signal });
  onProgress("");
  const ours = await editor.read(answering);
  if (ours === undefined || !answersAll(ours, stringsOf(fieldsOf(object.spec).hosts))) return { outcome: "conflict" };
  return editor.remove(key, object);
}

function answersAll({ metadata, spec }: RawObject, hosts: readonly string[]): boolean {
  const names = [...stringsOf(fieldsOf(spec).hosts), ...readNames(metadata?.annotations?.[NAMES_ANNOTATION])];
  return hosts.every((host) => names.includes(host.toLowerCase()));
}
