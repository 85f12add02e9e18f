import { join } from "node:path";
import { ConflictError } from "../errors.ts";
import type { LedgerWrite, WriteOptions } from "../model/target.ts";
import { ledgerPath, ledgerText, mayRewrite } from "./file.ts";
import { isSafePath, putFile, type Writer } from "./put-file.ts";

/**
 * Write ledger blocks one after another, each tied to the version it was computed from.
 *
 * @throws {ConflictError} When a block is another by now; the state then holds that.
 * @throws When a block cannot be written.
 */
export async function writeLedgerBlocks(
  writes: readonly LedgerWrite[],
  namespace: string,
  writer: Writer,
  { signal, mayWrite }: WriteOptions,
): Promise<void> {
  for (const write of writes) {
    signal.throwIfAborted();
    if (!mayWrite()) throw new Error("Cannot write the VIP ledger: this process may not write any more");
    if (!(await writeBlock(write, namespace, writer)))
      throw new ConflictError(`Cannot write the VIP ledger as ${write.name} changed since it was read`);
  }
}

async function writeBlock(
  { name, resourceVersion, data }: LedgerWrite,
  namespace: string,
  writer: Writer,
): Promise<boolean> {
  const { root, state } = writer;
  const path = ledgerPath(namespace, name);
  const file = state.files.get(path);
  if (!isSafePath(path)) throw new Error(`Cannot write the VIP ledger: "${path}" is not a valid path`);
  if (file !== undefined && !mayRewrite(file))
    throw new Error(`Cannot write the VIP ledger: "${join(root, path)}" ${file.problem ?? "is not ours"}`);
  if ((file?.ledger?.resourceVersion ?? "") !== resourceVersion) return false;
  return putFile(writer, path, ledgerText(namespace, name, data, file?.others ?? []), "ledger");
}
