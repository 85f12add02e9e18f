import { ConflictError } from "../errors.ts";
import type { Change, Update } from "../model/plan.ts";
import type { Target, WriteOptions, WriteReport } from "../model/target.ts";
import type { Computation, Decision } from "./compute.ts";

export interface PassOptions extends WriteOptions {
  readonly target: Target;
  /** From what stands now; asked again after a conflict. */
  readonly compute: () => Computation | Promise<Computation>;
  readonly isDryRun: boolean;
  /** Changes that may be written now; all by default. */
  readonly isDue?: (change: Change) => boolean;
}

export interface PassResult {
  /** What was decided, before it was written. */
  readonly computation: Computation;
  readonly report: WriteReport;
  readonly ledgerWrites: number;
}

const MAX_CLAIMS = 5;

/**
 * One pass: decide, claim VIPs, write, let freed VIPs rest.
 *
 * Nothing that uses a VIP is written before the ledger has it: a ledger block that moved meanwhile means that another
 * writer may have claimed the same address, so everything is decided anew from the newer state. Where the ledger cannot be
 * written, what stands goes on being updated with the VIPs that it has.
 *
 * @throws {ConflictError} When the ledger kept moving.
 * @throws When it cannot be written.
 */
export async function pass(options: PassOptions): Promise<PassResult> {
  const { target, compute, isDryRun, isDue = () => true } = options;
  for (let attempt = 1; ; attempt++) {
    const computation = await compute();
    const claims = computation.ledger?.writes ?? [];
    const { create, update, delete: remove, hold } = computation.plan;
    if (isDryRun) return { computation, report: { results: [] }, ledgerWrites: 0 };
    try {
      if (claims.length > 0) await target.writeLedger(claims, options);
    } catch (error) {
      if (error instanceof ConflictError && attempt < MAX_CLAIMS) continue;
      // Whoever has a VIP goes on: only what needs another waits for the ledger.
      const safe = update.filter(keepsAddresses).filter(isDue);
      if (safe.length > 0) await target.write(safe, options);
      throw error;
    }
    if (claims.length > 0 && !options.mayWrite()) return { computation, report: { results: [] }, ledgerWrites: 0 };
    const changes = [...update, ...create, ...remove].filter(isDue);
    const report = changes.length === 0 ? { results: [] } : await target.write(changes, options);
    await target.report(hold, options);
    const rested = await restFreed(options, report);
    return { computation, report, ledgerWrites: claims.length + rested };
  }
}

function keepsAddresses({ object, standing }: Update): boolean {
  const [wanted, stands] = [object.manifest, standing.manifest];
  if (wanted.kind !== "ServiceEntry" || stands.kind !== "ServiceEntry") return false;
  return wanted.spec.addresses?.join() === stands.spec.addresses?.join();
}

/** Write a decision that changes only what stands: it claims no VIP, frees none, and holds what was held before. */
export async function writeUpdates(
  { plan }: Pick<Decision, "plan">,
  { target, isDryRun, isDue = () => true, ...options }: Omit<PassOptions, "compute">,
): Promise<WriteReport> {
  const changes = isDryRun ? [] : plan.update.filter(isDue);
  return changes.length === 0 ? { results: [] } : target.write(changes, options);
}

/** The VIPs of entries that were just deleted begin their rest now and not with the next pass, which may never come. */
async function restFreed({ target, compute, ...options }: PassOptions, report: WriteReport): Promise<number> {
  const isFreed = report.results.some(
    ({ change, outcome }) =>
      change.kind === "delete" && outcome === "written" && change.standing.manifest.kind === "ServiceEntry",
  );
  const releases = isFreed ? ((await compute()).ledger?.writes ?? []) : [];
  if (releases.length === 0 || !options.mayWrite()) return 0;
  try {
    await target.writeLedger(releases, options);
    return releases.length;
  } catch (error) {
    // The next pass sees the same and tries again.
    if (error instanceof ConflictError) return 0;
    throw error;
  }
}
