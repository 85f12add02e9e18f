import { ConflictError } from "../errors.ts";
import { MANAGED_BY, MANAGED_BY_LABEL } from "../model/objects.ts";
import type { LedgerWrite, WriteOptions } from "../model/target.ts";
import { WRITE_TIMEOUT_MS } from "./client.ts";
import { each } from "./each.ts";
import { hasStatus } from "./kube-error.ts";
import { wholePatch } from "./merge-patch.ts";
import type { RawObject } from "./raw.ts";
import { collectionPath, objectPath, RESOURCES } from "./resources.ts";
import { type Sent, send } from "./send.ts";
import type { Expectation } from "./sink.ts";
import type { Writer } from "./write.ts";

/** Owners share a ledger, so it carries no owner label. */
const LABELS = { [MANAGED_BY_LABEL]: MANAGED_BY };

/**
 * Write ledger blocks, each tied to the version it was computed from, and fold the answers into the state.
 *
 * @throws {ConflictError} When a block moved, after all others were written.
 * @throws When a block could not be written.
 */
export async function writeLedgerBlocks(
  writes: readonly LedgerWrite[],
  namespace: string,
  writer: Writer,
  options: WriteOptions,
): Promise<void> {
  const moved: string[] = [];
  const failures: unknown[] = [];
  let done = 0;

  await each(writes, writer.inFlight, async (write) => {
    const expected = writer.state.sinks.ConfigMap.expect(write.name);
    try {
      if (!(await writeBlock(write, namespace, expected, writer, options))) moved.push(write.name);
    } catch (error) {
      failures.push(error);
    } finally {
      expected.end();
    }
    options.onProgress?.(++done, writes.length);
  });
  if (moved.length > 0)
    throw new ConflictError(`Cannot write the VIP ledger as ${moved.sort().join(", ")} moved since it was read`);
  if (failures.length > 0) throw new Error("Cannot write the VIP ledger", { cause: failures[0] });
}

/** Tells whether the block stands as it was to be written; when it moved, the state then holds what it moved to. */
async function writeBlock(
  write: LedgerWrite,
  namespace: string,
  expected: Expectation,
  writer: Writer,
  options: WriteOptions,
): Promise<boolean> {
  const standing = writer.state.standing.ledger.get(write.name);
  if ((standing?.resourceVersion ?? "") !== write.resourceVersion) return false;
  const sent =
    standing === undefined
      ? await create(write, namespace, writer, options)
      : await patch(write, standing.data, namespace, writer, options);
  if (sent.state === "withheld") throw new Error("leadership was lost");
  if (sent.state === "answered") {
    expected.put(sent.body as RawObject);
    return true;
  }
  if (sent.state === "lost" || (sent.error.status !== 409 && sent.error.status !== 404)) throw sent.error;
  // 404 on a patch: somebody removed the block. On a create it is the namespace that is missing.
  if (sent.error.status === 404 && standing === undefined) throw sent.error;
  await lookAgain(write, namespace, expected, writer);
  return false;
}

function create(
  { name, data }: LedgerWrite,
  namespace: string,
  { client }: Writer,
  options: WriteOptions,
): Promise<Sent> {
  const { apiVersion, kind } = RESOURCES.ConfigMap;
  const body = { apiVersion, kind, metadata: { name, namespace, labels: LABELS }, data };
  const path = collectionPath(RESOURCES.ConfigMap, namespace);
  return send(
    client,
    { method: "POST", path, action: `create ConfigMap ${namespace}/${name}`, body, operation: "ledger" },
    options,
  );
}

function patch(
  { name, resourceVersion, data }: LedgerWrite,
  before: Readonly<Record<string, string>>,
  namespace: string,
  { client }: Writer,
  options: WriteOptions,
): Promise<Sent> {
  const body = { metadata: { resourceVersion, labels: LABELS }, data: wholePatch(before, data) ?? {} };
  const path = objectPath(RESOURCES.ConfigMap, namespace, name);
  return send(
    client,
    { method: "PATCH", path, action: `patch ConfigMap ${namespace}/${name}`, body, operation: "ledger" },
    options,
  );
}

async function lookAgain(
  { name, resourceVersion }: LedgerWrite,
  namespace: string,
  expected: Expectation,
  { client }: Writer,
): Promise<void> {
  const path = objectPath(RESOURCES.ConfigMap, namespace, name);
  try {
    expected.put(
      (await client.request({
        method: "GET",
        path,
        action: `read ConfigMap ${namespace}/${name}`,
        timeoutMs: WRITE_TIMEOUT_MS,
      })) as RawObject,
    );
  } catch (error) {
    if (!hasStatus(error, 404)) throw error;
    expected.gone("", resourceVersion);
  }
}
