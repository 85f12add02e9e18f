import {
  type Manifest,
  NAMES_ANNOTATION,
  type ObjectKey,
  type OwnedObject,
  SUCCEEDED_BY_ANNOTATION,
} from "../model/objects.ts";
import type { Change, Delete, PolicedPlan, Turn, Update } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import { keyOf, turnOf } from "../model/write-order.ts";
import { readWrittenNames, writeNames } from "./names/names-annotation.ts";
import type { Move } from "./names/naming.ts";
import { isCompanion, isExposure } from "./standing.ts";

/**
 * The plan with what must be written first: whoever is given a name has it before another lets go of it, and nothing leads to an entry that
 * is not there yet.
 */
export function withTurns(plan: PolicedPlan, moves: readonly Move[]): PolicedPlan {
  const made = new Map(
    plan.create.flatMap(({ object }) => (isMain(object.manifest) ? [[object.service, object.key]] : [])),
  );
  const names = moves.filter(({ kind }) => kind === "name");
  if (made.size + moves.length === 0) return plan;
  const given = Map.groupBy([...plan.create, ...plan.update].filter(givesNames), ({ object }) => object.service);
  const moved = Map.groupBy(names, ({ name }) => name);
  const succeeded = new Map(plan.update.filter(isSucceededNow).map(({ object }) => [object.service, object.key]));
  const ground = { made, given, moved, succeeded };
  const update = plan.update.map((change) => turned(change, ground));
  const remove = plan.delete.map((change) => turned(change, ground));
  const awaited = new Set([...update, ...remove].flatMap((change) => turnOf(change)?.after ?? []));
  return { ...plan, update: update.map((change) => withFirst(change, awaited)), delete: remove };
}

interface Ground {
  /** Entries that are made, by service. */
  readonly made: ReadonlyMap<ServiceKey, ObjectKey>;
  /** What is written of a service that gives names. */
  readonly given: ReadonlyMap<ServiceKey, readonly Change[]>;
  /** By name. Whose it was is no matter: an object may still carry the service that its host was of before. */
  readonly moved: ReadonlyMap<string, readonly Move[]>;
  /** Entries on which the heir of their service is to be written, by service. */
  readonly succeeded: ReadonlyMap<ServiceKey, ObjectKey>;
}

function isSucceededNow({ object, standing }: Update): boolean {
  const heir = ({ metadata }: Manifest) => metadata.annotations?.[SUCCEEDED_BY_ANNOTATION];
  return heir(object.manifest) !== undefined && heir(object.manifest) !== heir(standing.manifest);
}

function turned<Changed extends Update | Delete>(
  change: Changed,
  { made, given, moved: all, succeeded }: Ground,
): Changed {
  const { standing } = change;
  const wanted = change.kind === "update" ? change.object : undefined;
  const left = new Set(namesOf(wanted?.manifest));
  const lost = namesOf(standing.manifest).filter((name) => !left.has(name));
  const moved = lost.flatMap((name) => all.get(name) ?? []).filter(({ to }) => to !== wanted?.service);
  const keys = moved.flatMap(({ to }) => (given.get(to) ?? []).map(keyOf));
  const entry = wanted === undefined || isMain(wanted.manifest) ? undefined : made.get(wanted.service);
  // An alias is one object: once it has turned nothing says any more whose it was.
  const isAlias = standing.manifest.kind === "Service" && wanted !== undefined && wanted.service !== standing.service;
  const heir = isAlias ? succeeded.get(standing.service ?? "") : undefined;
  const after = [...new Set([...keys, entry, heir])].flatMap((key) => (key === standing.key ? [] : (key ?? [])));
  if (after.length === 0) return change;
  const meanwhile =
    wanted === undefined || moved.length === 0
      ? undefined
      : withNames(wanted, standing.manifest, new Set(moved.map(({ name }) => name)));
  const turn: Turn = { after, ...(meanwhile === undefined ? {} : { meanwhile }) };
  return { ...change, turn };
}

/** A change that others wait for, and that waits itself: what it is given is written first. */
function withFirst(change: Update, awaited: ReadonlySet<ObjectKey>): Update {
  const { turn, object, standing } = change;
  if (turn?.meanwhile === undefined || !awaited.has(object.key)) return change;
  const stood = { ...object, manifest: standing.manifest };
  // Nothing else yet: the names that it lets go of lead to what stands until others have them, if that is somebody.
  const leads = !isMain(standing.manifest) || hasEndpoints(standing.manifest);
  const first =
    leads && object.service === standing.service
      ? withNames(stood, object.manifest, new Set(namesOf(object.manifest)))
      : turn.meanwhile;
  return { ...change, turn: { ...turn, first } };
}

function hasEndpoints(manifest: Manifest): boolean {
  return manifest.kind === "ServiceEntry" && (manifest.spec.endpoints ?? []).length > 0;
}

function isMain(manifest: Manifest): boolean {
  return manifest.kind === "ServiceEntry" && !isCompanion(manifest.metadata);
}

function givesNames({ object: { manifest } }: { readonly object: OwnedObject }): boolean {
  return namesOf(manifest).length > 0;
}

/** The names by which a service is found because of an object. */
function namesOf(manifest: Manifest | undefined): readonly string[] {
  if (manifest?.kind !== "ServiceEntry" && manifest?.kind !== "VirtualService") return [];
  if (isExposure({ manifest })) return [];
  const written = readWrittenNames(manifest.metadata.annotations?.[NAMES_ANNOTATION]).map(({ name }) => name);
  return [...manifest.spec.hosts, ...(isMain(manifest) ? written : [])];
}

/** An object with names of another manifest beside its own. */
function withNames(object: OwnedObject, others: Manifest, names: ReadonlySet<string>): OwnedObject {
  const { manifest } = object;
  if (isMain(manifest)) {
    const { annotations = {} } = manifest.metadata;
    const own = readWrittenNames(annotations[NAMES_ANNOTATION]);
    const more = readWrittenNames(others.metadata.annotations?.[NAMES_ANNOTATION]).filter(
      ({ name }) => names.has(name) && !own.some((one) => one.name === name),
    );
    const all = writeNames([...own, ...more]);
    const metadata = { ...manifest.metadata, annotations: { ...annotations, [NAMES_ANNOTATION]: all } };
    return { ...object, manifest: { ...manifest, metadata } as Manifest };
  }
  const own = hostsOf(manifest);
  const hosts = [...own, ...hostsOf(others).filter((name) => names.has(name) && !own.includes(name))];
  return { ...object, manifest: { ...manifest, spec: { ...manifest.spec, hosts } } as Manifest };
}

function hostsOf(manifest: Manifest): readonly string[] {
  return manifest.kind === "ServiceEntry" || manifest.kind === "VirtualService" ? manifest.spec.hosts : [];
}
