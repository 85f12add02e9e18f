import { each } from "../../async/each.ts";
import { ConflictError } from "../../errors.ts";
import { MANAGED_BY, MANAGED_BY_LABEL } from "../../model/objects.ts";
import type { StandingLedgerBlock } from "../../model/standing.ts";
import type { LedgerWrite, WriteOptions } from "../../model/target.ts";
import type { KubeRequest } from "../client/client.ts";
import { createRequest, type ObjectRef, patchRequest, readObject } from "../client/object-requests.ts";
import type { RawObject } from "../client/raw.ts";
import { RESOURCES } from "../client/resources.ts";
import type { Expectation } from "../watch/sink.ts";
import { wholePatch } from "./merge-patch.ts";
import { send } from "./send.ts";
import type { Writer } from "./write.ts";

/** Owners share a ledger, so it carries no owner label. */
const LABELS = { [MANAGED_BY_LABEL]: MANAGED_BY };

/**
 * Write ledger blocks, each tied to the version it was computed from, and fold the answers into the state.
 *
 * @throws {ConflictError} When a block is another by now, after all others were written.
 * @throws When a block could not be written.
 */
export async function writeLedgerBlocks(
  writes: readonly LedgerWrite[],
  namespace: string,
  writer: Writer,
  options: WriteOptions,
): Promise<void> {
  const changed: string[] = [];
  const failures: unknown[] = [];
  let done = 0;

  await each(writes, writer.inFlight, async (write) => {
    const ref = { resource: RESOURCES.ConfigMap, namespace, name: write.name };
    const expected = writer.state.sinks.ConfigMap.expect(write.name);
    try {
      if (!(await writeBlock(write, ref, expected, writer, options))) changed.push(write.name);
    } catch (error) {
      failures.push(error);
    } finally {
      expected.end();
    }
    options.onProgress?.(++done, writes.length);
  });
  if (changed.length > 0)
    throw new ConflictError(`Cannot write the VIP ledger as ${changed.sort().join(", ")} changed since it was read`);
  if (failures.length > 0) throw new Error("Cannot write the VIP ledger", { cause: failures[0] });
}

/** Tells whether the block stands as it was to be written; if not, the state then holds what it is by now. */
async function writeBlock(
  write: LedgerWrite,
  ref: ObjectRef,
  expected: Expectation,
  { client, state }: Writer,
  options: WriteOptions,
): Promise<boolean> {
  const standing = state.standing.ledger.get(write.name);
  if ((standing?.resourceVersion ?? "") !== write.resourceVersion) return false;
  const sent = await send(client, requestOf(write, ref, standing), options);
  if (sent.state === "withheld") throw new Error("leadership was lost");
  if (sent.state === "answered") {
    expected.put(sent.body as RawObject);
    return true;
  }
  if (sent.state === "lost" || (sent.error.status !== 409 && sent.error.status !== 404)) throw sent.error;
  // 404 on a patch: somebody removed the block. On a create it is the namespace that is missing.
  if (sent.error.status === 404 && standing === undefined) throw sent.error;
  const found = await readObject(client, ref);
  if (found === undefined) expected.gone("", write.resourceVersion);
  else expected.put(found);
  return false;
}

function requestOf(
  { name, resourceVersion, data }: LedgerWrite,
  ref: ObjectRef,
  standing: StandingLedgerBlock | undefined,
): KubeRequest {
  if (standing === undefined)
    return createRequest(ref, { metadata: { name, namespace: ref.namespace, labels: LABELS }, data }, "ledger");
  const patch = wholePatch(standing.data, data) ?? {};
  return patchRequest(ref, { metadata: { resourceVersion, labels: LABELS }, data: patch }, "ledger");
}
