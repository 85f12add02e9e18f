import type { Delete } from "../model/plan.ts";
import type { LedgerWrite, Target, WriteResult, WriteRight } from "../model/target.ts";

/** What objects are deleted with. */
export interface DeleteTools {
  readonly target: Pick<Target, "write" | "writeLedger">;
  readonly acquire: (signal: AbortSignal) => Promise<WriteRight>;
  /** Blocks of the VIP ledger in which addresses that nothing has any more begin their quarantine. */
  readonly ledgerWrites: () => readonly LedgerWrite[];
  /** Called once the objects were written, before the ledger is. */
  readonly onDeleted: (results: readonly WriteResult[]) => void;
  /** Called at the end, whether all went well or not. */
  readonly onReleased?: () => Promise<unknown>;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Delete objects as the only writer, and let their VIPs rest.
 *
 * @param command reads on from `Cannot`, for messages
 * @throws When another process has the right to write.
 */
export async function deleteObjects(
  command: string,
  changes: readonly Delete[],
  { target, acquire, ledgerWrites, onDeleted, onReleased, onProgress, signal }: DeleteTools,
): Promise<readonly WriteResult[]> {
  const right = await acquire(signal);
  if (right.holder !== undefined)
    throw new Error(`Cannot ${command} as ${right.holder} is running on this target: stop it first`);
  try {
    const options = { signal, mayWrite: () => right.mayWrite() && !signal.aborted };
    const { results } = await target.write(changes, {
      ...options,
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    onDeleted(results);
    const writes = ledgerWrites();
    if (writes.length > 0) await target.writeLedger(writes, options);
    return results;
  } finally {
    await right.release();
    await onReleased?.();
  }
}
