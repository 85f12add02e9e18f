import { fieldsOf, stringsOf } from "../istio/fields.ts";
import { handedOverTo } from "../istio/ownership.ts";
import type { RawObject } from "../kube/client/raw.ts";
import type { Handled, ObjectEditor } from "../kube/write/object-editor.ts";
import { HANDED_OVER_ANNOTATION, NAMES_ANNOTATION, type ObjectKey } from "../model/objects.ts";
import type { Target } from "../model/target.ts";
import { readNames } from "../plan/names/names-annotation.ts";
import type { OwnershipAction } from "./actions.ts";
import { answeringEntry, type Candidate, vipsOf } from "./adoptable.ts";

/** What entries elsewhere hand their names over with. */
export interface HandOverTools {
  readonly target: Pick<Target, "standing" | "nowMs">;
  readonly editor: ObjectEditor;
  /** Whose they are to be. */
  readonly owner: string;
  /** Of DNS answers. */
  readonly ttlSeconds: number;
  /** Waits so many milliseconds, at most until the command is ended. */
  readonly wait: (ms: number) => Promise<void>;
  readonly onProgress: (text: string) => void;
}

/** Names are given out this long after they were written. */
const SETTLE_MS = 2000;
/** How long a client may use what Istio's agent answered (istio pkg/dns/client: a TTL of 30 s). */
const AGENT_TTL_MS = 30_000;
/** By then proxies have a stand-in. */
const PUSHED_MS = 5000;
/** A domain that is never looked up (RFC 6761). */
const HIDDEN = ".handed-over.invalid";
const MAX_NAME_LENGTH = 253;

/** An entry of someone else's that is deleted once nobody can have an answer of it any more. */
interface Replaced {
  readonly key: ObjectKey;
  readonly object: RawObject;
  /** The entry of ours that answers its names. */
  readonly answering: ObjectKey;
  /** When DNS answers of before have run out; as `performance.now()`. */
  readonly dueMs: number;
}

/**
 * How entries elsewhere hand their names over: first they are marked, so that ours get the names; once ours answers, they are deleted.
 *
 * Sidecars with DNS capture are told by Istio which VIP an entry has, and their programs remember it. So a stand-in keeps it in service
 * until nobody does. All that are deleted with one command wait together.
 */
export function handingOver(tools: HandOverTools): (candidate: Candidate, object: RawObject) => OwnershipAction {
  const { owner, target, editor, ttlSeconds } = tools;
  const all: Replaced[] = [];
  const deleteWithVips = deletingWithVips(tools, all);
  return ({ key, service }, object) => {
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
    const replaced: Replaced = { key, object, answering, dueMs: performance.now() + leftMs };
    all.push(replaced);
    const why = `its names are answered by ${answering}`;
    return { kind: "delete", key, service, why, write: () => removeReplaced(tools, replaced, deleteWithVips) };
  };
}

/**
 * Deletes all that have a VIP, once, and leaves stand-ins with the same VIPs and endpoints for as long as a client may remember them.
 *
 * @returns What became of each, by key.
 */
function deletingWithVips(
  tools: HandOverTools,
  all: readonly Replaced[],
): () => Promise<ReadonlyMap<ObjectKey, Handled>> {
  let deleted: Promise<ReadonlyMap<ObjectKey, Handled>> | undefined;
  const { editor } = tools;
  const deleteAll = async () => {
    const results = new Map<ObjectKey, Handled>();
    const known = all.filter(({ object }) => vipsOf(object).length > 0);
    const pause = (ms: number) => due(tools, { key: known[0]?.key ?? "", dueMs: performance.now() + ms });
    for (const one of known) {
      await due(tools, one);
      results.set(one.key, await standIn(tools, one));
    }
    await pause(PUSHED_MS);
    const stoodIn = known.filter(({ key }) => results.get(key)?.outcome === "written");
    for (const one of stoodIn) {
      const latest = await editor.read(one.key);
      const may = latest !== undefined && (await isAnswered(tools, one));
      results.set(one.key, may ? await editor.remove(one.key, latest) : { outcome: "conflict" });
    }
    await pause(AGENT_TTL_MS + SETTLE_MS);
    for (const { key } of stoodIn) {
      const made = await editor.read(standInOf(key));
      if (made !== undefined) await editor.remove(standInOf(key), made);
    }
    return results;
  };
  return () => {
    deleted ??= deleteAll();
    return deleted;
  };
}

/**
 * Makes an entry's stand-in, so that proxies have its clusters before those of the entry go. The entry says its VIP itself first, or Istio would give
 * it another one: two entries that say the same are left alone.
 */
async function standIn({ editor, owner }: HandOverTools, { key, object }: Replaced): Promise<Handled> {
  const spec = standInSpec(object);
  const latest = await editor.read(key);
  if (latest === undefined) return { outcome: "conflict" };
  if (spec === undefined) return { outcome: "written" };
  const pinned = await editor.mark(key, latest, { spec: { addresses: spec.addresses } });
  if (pinned.outcome !== "written") return pinned;
  const made = await editor.create(standInOf(key), { metadata: { labels: standInLabels(owner) }, spec });
  // One that is there is of a command that was ended.
  return made.outcome === "conflict" ? { outcome: "written" } : made;
}

/** Delete an entry that handed its names over, once whoever asked before has no answer of it any more. */
async function removeReplaced(
  tools: HandOverTools,
  one: Replaced,
  deleteWithVips: ReturnType<typeof deletingWithVips>,
): Promise<Handled> {
  const { key, object } = one;
  await due(tools, one);
  if (vipsOf(object).length > 0) return (await deleteWithVips()).get(key) ?? { outcome: "conflict" };
  return (await isAnswered(tools, one)) ? tools.editor.remove(key, object) : { outcome: "conflict" };
}

/** Hosts that nobody asks for, and the VIPs lead where they led; `undefined` where such a host would be too long. */
function standInSpec(object: RawObject): Readonly<Record<string, unknown>> | undefined {
  const hosts = stringsOf(fieldsOf(object.spec).hosts).map((host) => `${host}${HIDDEN}`);
  if (hosts.some((host) => host.length > MAX_NAME_LENGTH)) return undefined;
  return { ...fieldsOf(object.spec), hosts, addresses: vipsOf(object) };
}

const SUFFIX = ".handed-over";

function standInOf(key: ObjectKey): ObjectKey {
  return `${key}${SUFFIX}` as ObjectKey;
}

function standInLabels(owner: string): Readonly<Record<string, string>> {
  return { [HANDED_OVER_ANNOTATION]: owner };
}

/** Stand-ins that a command left as it was ended; `candidates` are what this one deals with. */
export async function leftStandIns(
  { editor, owner }: HandOverTools,
  candidates: ReadonlyMap<ObjectKey, unknown>,
  signal: AbortSignal,
): Promise<readonly OwnershipAction[]> {
  const found = await editor.entries(standInLabels(owner), signal);
  return [...found].flatMap(([key, object]): OwnershipAction[] => {
    if (!key.endsWith(SUFFIX) || candidates.has(key.slice(0, -SUFFIX.length) as ObjectKey)) return [];
    const why = "it stood in for an entry that is deleted";
    return [{ kind: "delete", key, why, write: () => editor.remove(key, object) }];
  });
}

async function due({ wait, onProgress }: HandOverTools, { key, dueMs }: Pick<Replaced, "key" | "dueMs">) {
  onProgress(`waiting until no cache can hold the old answers of ${key}`);
  await wait(Math.max(0, dueMs - performance.now()));
  onProgress("");
}

async function isAnswered({ editor }: HandOverTools, { object, answering }: Replaced): Promise<boolean> {
  const ours = await editor.read(answering);
  if (ours === undefined) return false;
  const names = [...stringsOf(fieldsOf(ours.spec).hosts), ...readNames(ours.metadata?.annotations?.[NAMES_ANNOTATION])];
  return stringsOf(fieldsOf(object.spec).hosts).every((host) => names.includes(host.toLowerCase()));
}
