import { fieldsOf } from "../istio/fields.ts";
import { soundSpec, standingObject } from "../istio/standing.ts";
import type { RawObject } from "../kube/client/raw.ts";
import {
  HANDED_OVER_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type ObjectKey,
  OWNER_LABEL,
  REGISTRY_LABEL,
  RELEASED_ANNOTATION,
  SERVICE_ANNOTATION,
} from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import type { Decision } from "../plan/decision.ts";
import type { OwnershipAction } from "./actions.ts";
import { type Candidate, callsOf, candidatesOf, keyFrom, refusal } from "./adoptable.ts";
import { type HandOverTools, handingOver, leftStandIns } from "./hand-over.ts";

/** What objects of others are taken over with. */
export interface AdoptTools extends HandOverTools {
  /** Decides from what was read, as if this stood in the target. */
  readonly decide: (standing: Standing) => Decision;
  readonly signal: AbortSignal;
}

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
  const handOver = handingOver(tools);
  if (objects.length === 0)
    return Promise.all([
      ...candidates.map((one) => actionFor(tools, handOver, one, raws.get(one.key))),
      ...releasedOf(tools.target.standing()).map((key) => takeBack(tools, key)),
      ...(await leftStandIns(tools, raws, tools.signal)),
      ...(await leftBehind(tools, raws)),
    ]);
  return Promise.all(
    objects.map((text) => {
      const key = keyFrom(text);
      const candidate = candidates.find((one) => one.key === key);
      if (candidate !== undefined) return actionFor(tools, handOver, candidate, raws.get(candidate.key));
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
const SYNC_LABELS = { consul: "true", manager: "Aeraki", registry: "consul" } as const;

/** Entries of consul2istio that nobody keeps in step once it is stopped, as none of ours has one of their hosts. */
async function leftBehind(
  { editor, signal, owner }: AdoptTools,
  candidates: ReadonlyMap<ObjectKey, unknown>,
): Promise<readonly OwnershipAction[]> {
  const { manager, registry } = SYNC_LABELS;
  const found = await editor.entries({ manager, registry }, signal);
  return [...found].flatMap(([key, { metadata, spec }]): OwnershipAction[] => {
    if (candidates.has(key) || metadata?.labels?.[OWNER_LABEL] === owner) return [];
    const calls = callsOf(fieldsOf(spec)).join(", ");
    const why = `consul2istio wrote it for ${calls}, and no service of ours has that name: give it by legacyNames of the registry that has the service (with singleLabels where it is of one label), or delete the entry once nobody calls it`;
    return [{ kind: "refuse", key, why }];
  });
}

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

function actionFor(
  tools: AdoptTools,
  handOver: ReturnType<typeof handingOver>,
  candidate: Candidate,
  object: RawObject | undefined,
): OwnershipAction {
  const { key, service, place } = candidate;
  if (object === undefined) return { kind: "refuse", key, service, why: "it is not there any more" };
  const why = refusal(candidate, object);
  if (why !== undefined) return { kind: "refuse", key, service, why };
  return place === "same" ? takePlace(tools, candidate, object) : handOver(candidate, object);
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
