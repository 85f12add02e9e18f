import { API_VERSIONS, type Manifest, type MeshKind } from "../model/objects.ts";
import type { Change, Create, Delete, Update } from "../model/plan.ts";
import type { StandingObject } from "../model/standing.ts";
import type { WriteOptions, WriteOutcome, WriteReport, WriteResult } from "../model/target.ts";
import { type KubeClient, WRITE_TIMEOUT_MS } from "./client.ts";
import { each } from "./each.ts";
import { isNotFound } from "./kube-error.ts";
import { updatePatch } from "./merge-patch.ts";
import { isOurs } from "./project.ts";
import type { RawObject } from "./raw.ts";
import { collectionPath, objectPath, RESOURCES } from "./resources.ts";
import { type Sent, send } from "./send.ts";
import type { Expectation } from "./sink.ts";
import type { ClusterState } from "./state.ts";

/** What the writers need. */
export interface Writer {
  readonly client: KubeClient;
  readonly state: ClusterState;
  readonly owner: string;
  /** Requests under way at once. */
  readonly inFlight: number;
}

interface Outcome {
  readonly outcome: WriteOutcome;
  readonly error?: unknown;
}

const DEPENDS: Outcome = { outcome: "skipped", error: new Error("what it depends on could not be written") };

/**
 * Write `changes` in phases: updates, entries that others will point to, the others, then deletes in the opposite order.
 * Every answer is folded into the state before this resolves.
 */
export async function writeChanges(
  changes: readonly Change[],
  writer: Writer,
  options: WriteOptions,
): Promise<WriteReport> {
  const results: WriteResult[] = [];
  /** Services of which an entry could not be made: nothing may point to it. */
  const withoutEntry = new Set<string | undefined>();
  /** Services of which something still points to the entry. */
  const pointedTo = new Set<string | undefined>();

  async function run(change: Change): Promise<void> {
    const service = serviceOf(change);
    const isBlocked =
      service !== undefined &&
      ((isCreateOfOther(change) && withoutEntry.has(service)) || (isDeleteOfEntry(change) && pointedTo.has(service)));
    const result = isBlocked ? DEPENDS : await apply(change, writer, options);
    if (isCreateOfEntry(change) && result.outcome !== "written" && result.outcome !== "conflict")
      withoutEntry.add(service);
    if (isDeleteOfOther(change) && result.outcome !== "written") pointedTo.add(service);
    results.push({ change, ...result });
    options.onProgress?.(results.length, changes.length);
  }

  const isUpdate = (change: Change) => change.kind === "update";
  for (const inPhase of [isUpdate, isCreateOfEntry, isCreateOfOther, isDeleteOfOther, isDeleteOfEntry]) {
    await each(changes.filter(inPhase), writer.inFlight, run);
  }
  return { results };
}

const isEntry = (change: Change) => manifestOf(change).kind === "ServiceEntry";
const isCreateOfEntry = (change: Change) => change.kind === "create" && isEntry(change);
const isCreateOfOther = (change: Change) => change.kind === "create" && !isEntry(change);
const isDeleteOfEntry = (change: Change) => change.kind === "delete" && isEntry(change);
const isDeleteOfOther = (change: Change) => change.kind === "delete" && !isEntry(change);

function manifestOf(change: Change): Manifest {
  return change.kind === "delete" ? change.standing.manifest : change.object.manifest;
}

function serviceOf(change: Change): string | undefined {
  return change.kind === "delete" ? change.standing.service : change.object.service;
}

async function apply(change: Change, writer: Writer, options: WriteOptions): Promise<Outcome> {
  const { kind } = manifestOf(change);
  const key = change.kind === "delete" ? change.standing.key : change.object.key;
  const expected = writer.state.sinks[kind].expect(key);
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

/** POST, never an apply: that would merge into somebody's live object of that name. */
async function create(
  { object: { manifest } }: Create,
  expected: Expectation,
  writer: Writer,
  options: WriteOptions,
): Promise<Outcome> {
  const sent = await send(
    writer.client,
    {
      method: "POST",
      path: collectionPath(RESOURCES[manifest.kind], manifest.metadata.namespace),
      action: `create ${nameOf(manifest)}`,
      body: { ...manifest, apiVersion: API_VERSIONS[manifest.kind] },
      operation: "create",
    },
    options,
  );
  if (sent.state !== "refused" || sent.error.status !== 409) return settle(sent, (raw) => expected.put(raw));
  const found = await read(manifest, writer.client);
  if (found === undefined) return { outcome: "conflict", error: sent.error };
  expected.put(found);
  return { outcome: isOurs(found, writer.owner) ? "conflict" : "foreign", error: sent.error };
}

async function update(
  { object, standing }: Update,
  expected: Expectation,
  writer: Writer,
  options: WriteOptions,
): Promise<Outcome> {
  const body = updatePatch(standing, object.manifest);
  if (body === undefined) return { outcome: "written" };
  const sent = await send(
    writer.client,
    {
      method: "PATCH",
      path: pathOf(standing.manifest),
      action: `patch ${nameOf(standing.manifest)}`,
      body,
      operation: "update",
    },
    options,
  );
  if (sent.state === "refused" && (sent.error.status === 409 || isNotFound(sent.error))) {
    await lookAgain(standing, expected, writer);
    return { outcome: "conflict", error: sent.error };
  }
  return settle(sent, (raw) => expected.put(raw));
}

async function remove(
  { standing }: Delete,
  expected: Expectation,
  writer: Writer,
  options: WriteOptions,
): Promise<Outcome> {
  const { uid, resourceVersion } = standing;
  const sent = await send(
    writer.client,
    {
      method: "DELETE",
      path: pathOf(standing.manifest),
      action: `delete ${nameOf(standing.manifest)}`,
      body: {
        kind: "DeleteOptions",
        apiVersion: "v1",
        preconditions: { uid, resourceVersion },
        propagationPolicy: "Background",
      },
      operation: "delete",
    },
    options,
  );
  const isGone = sent.state === "refused" && isNotFound(sent.error);
  if (isGone) expected.gone(uid, resourceVersion);
  if (isGone) return { outcome: "written" };
  if (sent.state === "refused" && sent.error.status === 409) {
    await lookAgain(standing, expected, writer);
    return { outcome: "conflict", error: sent.error };
  }
  return settle(sent, (raw) => {
    // Somebody's finalizer keeps it for now: it is still there.
    if ((raw.metadata?.finalizers?.length ?? 0) > 0) expected.put(raw);
    else expected.gone(uid, resourceVersion);
  });
}

function settle(sent: Sent, fold: (raw: RawObject) => void): Outcome {
  if (sent.state === "withheld") return { outcome: "skipped" };
  if (sent.state !== "answered") return { outcome: "failed", error: sent.error };
  fold(sent.body as RawObject);
  return { outcome: "written" };
}

/** The cache may be behind: without this the next pass would run into the same conflict. */
async function lookAgain(standing: StandingObject, expected: Expectation, { client }: Writer): Promise<void> {
  const found = await read(standing.manifest, client);
  if (found === undefined) expected.gone(standing.uid, standing.resourceVersion);
  else expected.put(found);
}

async function read(manifest: Manifest, client: KubeClient): Promise<RawObject | undefined> {
  try {
    return (await client.request({
      method: "GET",
      path: pathOf(manifest),
      action: `read ${nameOf(manifest)}`,
      timeoutMs: WRITE_TIMEOUT_MS,
    })) as RawObject;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function pathOf({ kind, metadata }: Manifest): string {
  return objectPath(RESOURCES[kind], metadata.namespace, metadata.name);
}

function nameOf({ kind, metadata }: { readonly kind: MeshKind; readonly metadata: Manifest["metadata"] }): string {
  return `${kind} ${metadata.namespace}/${metadata.name}`;
}
