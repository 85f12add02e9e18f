import { setTimeout as delay } from "node:timers/promises";
import { each } from "../../async/each.ts";
import type { Manifest, ObjectKey } from "../../model/objects.ts";
import type { Change, Create, Delete, Update } from "../../model/plan.ts";
import type { StandingObject } from "../../model/standing.ts";
import type { WriteOptions, WriteOutcome, WriteReport, WriteResult } from "../../model/target.ts";
import {
  isDueAfter,
  isOfEntry,
  keyOf,
  turnOf,
  type WriteStep,
  writePhases,
  writtenBy,
} from "../../model/write-order.ts";
import type { KubeClient } from "../client/client.ts";
import { isNotFound } from "../client/kube-error.ts";
import { createRequest, deleteRequest, type ObjectRef, patchRequest, readObject } from "../client/object-requests.ts";
import type { RawObject } from "../client/raw.ts";
import { RESOURCES } from "../client/resources.ts";
import { isOurs } from "../watch/project.ts";
import type { Expectation } from "../watch/sink.ts";
import type { ClusterState } from "../watch/state.ts";
import { updatePatch } from "./merge-patch.ts";
import { type Sent, send } from "./send.ts";

/** What the writers need. */
export interface Writer {
  readonly client: KubeClient;
  readonly state: ClusterState;
  readonly owner: string;
  /** Requests under way at once. */
  readonly inFlight: number;
  /** How long the mesh may take to know an entry that was made. */
  readonly settleMs: number;
}

interface Outcome {
  readonly outcome: WriteOutcome;
  readonly error?: unknown;
}

const DEPENDS: Outcome = { outcome: "skipped", error: new Error("what it depends on could not be written") };

/**
 * Write `changes` in the order of {@link writePhases}. What waits for something that could not be written stays as it is meanwhile. Every
 * answer is folded into the state before this resolves.
 */
export async function writeChanges(
  changes: readonly Change[],
  writer: Writer,
  options: WriteOptions,
): Promise<WriteReport> {
  const results: WriteResult[] = [];
  const created = new Set(changes.filter(isCreateOfEntry).map(keyOf));
  /** Services of which an entry could not be made: nothing may point to it. */
  const withoutEntry = new Set<string | undefined>();
  /** Services of which something still points to the entry. */
  const pointedTo = new Set<string | undefined>();
  /** What others may have waited for. */
  const written = new Set<ObjectKey>();

  async function outcomeOf(step: WriteStep): Promise<Outcome> {
    const { change, isFirst } = step;
    const service = serviceOf(change);
    const isBlocked =
      service !== undefined &&
      ((isCreateOfOther(change) && withoutEntry.has(service)) || (isDeleteOfEntry(change) && pointedTo.has(service)));
    const now = isBlocked ? undefined : writtenBy(step, written, writer.state.standing.objects.get(keyOf(change)));
    if (now === undefined) return DEPENDS;
    const outcome = await apply(now, writer, options);
    const isWhole = isFirst === true || isDueAfter(change, written);
    return isWhole || outcome.outcome !== "written" ? outcome : DEPENDS;
  }

  async function run(step: WriteStep): Promise<void> {
    const { change, isFirst } = step;
    const service = serviceOf(change);
    const result = await outcomeOf(step);
    if (result.outcome === "written") written.add(keyOf(change));
    if (isFirst === true) return;
    if (isCreateOfEntry(change) && result.outcome !== "written" && result.outcome !== "conflict")
      withoutEntry.add(service);
    if (isDeleteOfOther(change) && result.outcome !== "written") pointedTo.add(service);
    results.push({ change, ...result });
    options.onProgress?.(results.length, changes.length);
  }

  let isSettled = false;
  for (const steps of writePhases(changes)) {
    if (!isSettled && steps.some((step) => turnsToNew(step, written))) {
      // Proxies take routes at once and a new cluster once they have asked for its endpoints: calls in between would get 503.
      await delay(writer.settleMs, undefined, { signal: options.signal }).catch(() => undefined);
      isSettled = true;
    }
    await each(steps, writer.inFlight, run);
  }
  return { results };

  /** Whether names turn to an entry that was only just made. */
  function turnsToNew({ change, isFirst }: WriteStep, made: ReadonlySet<ObjectKey>): boolean {
    return isFirst !== true && (turnOf(change)?.after.some((key) => created.has(key) && made.has(key)) ?? false);
  }
}

const isCreateOfEntry = (change: Change) => change.kind === "create" && isOfEntry(change);
const isCreateOfOther = (change: Change) => change.kind === "create" && !isOfEntry(change);
const isDeleteOfEntry = (change: Change) => change.kind === "delete" && isOfEntry(change);
const isDeleteOfOther = (change: Change) => change.kind === "delete" && !isOfEntry(change);

function manifestOf(change: Change): Manifest {
  return change.kind === "delete" ? change.standing.manifest : change.object.manifest;
}

function serviceOf(change: Change): string | undefined {
  return change.kind === "delete" ? change.standing.service : change.object.service;
}

async function apply(change: Change, writer: Writer, options: WriteOptions): Promise<Outcome> {
  const { kind } = manifestOf(change);
  const expected = writer.state.sinks[kind].expect(keyOf(change));
  try {
    if (change.kind === "create") return await create(change, expected, writer, options);
    if (change.kind === "update") return await update(change, expected, writer, options);
    return await remove(change, expected, writer, options);
  } catch (error) {
    return { outcome: "failed", error };
  } finally {
    expected.end();
  }
}

async function create(
  { object: { manifest } }: Create,
  expected: Expectation,
  { client, owner }: Writer,
  options: WriteOptions,
): Promise<Outcome> {
  const ref = refOf(manifest);
  const sent = await send(client, createRequest(ref, manifest, "create"), options);
  if (sent.state !== "refused" || sent.error.status !== 409) return conclude(sent, (raw) => expected.put(raw));
  const found = await readObject(client, ref, { isMissing: isNotFound });
  if (found === undefined) return { outcome: "conflict", error: sent.error };
  expected.put(found);
  return { outcome: isOurs(found, owner) ? "conflict" : "foreign", error: sent.error };
}

async function update(
  { object, standing }: Update,
  expected: Expectation,
  { client }: Writer,
  options: WriteOptions,
): Promise<Outcome> {
  const body = updatePatch(standing, object.manifest);
  if (body === undefined) return { outcome: "written" };
  const sent = await send(client, patchRequest(refOf(standing.manifest), body, "update"), options);
  if (sent.state === "refused" && (sent.error.status === 409 || isNotFound(sent.error))) {
    await readAgain(standing, expected, client);
    return { outcome: "conflict", error: sent.error };
  }
  return conclude(sent, (raw) => expected.put(raw));
}

async function remove(
  { standing }: Delete,
  expected: Expectation,
  { client }: Writer,
  options: WriteOptions,
): Promise<Outcome> {
  const { uid, resourceVersion } = standing;
  const sent = await send(client, deleteRequest(refOf(standing.manifest), standing, "delete"), options);
  const isGone = sent.state === "refused" && isNotFound(sent.error);
  if (isGone) expected.gone(uid, resourceVersion);
  if (isGone) return { outcome: "written" };
  if (sent.state === "refused" && sent.error.status === 409) {
    await readAgain(standing, expected, client);
    return { outcome: "conflict", error: sent.error };
  }
  return conclude(sent, (raw) => {
    // Somebody's finalizer keeps it for now: it is still there.
    if ((raw.metadata?.finalizers?.length ?? 0) > 0) expected.put(raw);
    else expected.gone(uid, resourceVersion);
  });
}

function conclude(sent: Sent, fold: (raw: RawObject) => void): Outcome {
  if (sent.state === "withheld") return { outcome: "skipped" };
  if (sent.state !== "answered") return { outcome: "failed", error: sent.error };
  fold(sent.body as RawObject);
  return { outcome: "written" };
}

/** The cache may be behind: without this the next pass would run into the same conflict. */
async function readAgain(standing: StandingObject, expected: Expectation, client: KubeClient): Promise<void> {
  const found = await readObject(client, refOf(standing.manifest), { isMissing: isNotFound });
  if (found === undefined) expected.gone(standing.uid, standing.resourceVersion);
  else expected.put(found);
}

function refOf({ kind, metadata: { namespace, name } }: Manifest): ObjectRef {
  return { resource: RESOURCES[kind], namespace, name };
}
