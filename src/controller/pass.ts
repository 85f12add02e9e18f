import { ConflictError } from "../errors.ts";
import { ledgerSpot } from "../istio/addresses.ts";
import type { Manifest } from "../model/objects.ts";
import type { Change, Create, Update } from "../model/plan.ts";
import type { StandingLedgerBlock } from "../model/standing.ts";
import type { LedgerWrite, Target, WriteOptions, WriteReport } from "../model/target.ts";
import type { Decision } from "../plan/decision.ts";
import { sameObject } from "../plan/plan.ts";
import { vipNotices } from "./vip-moves.ts";

export interface PassOptions extends WriteOptions {
  readonly target: Target;
  /** From what stands now; asked again after a conflict. */
  readonly decide: () => Decision | Promise<Decision>;
  readonly isDryRun: boolean;
  /** Changes that may be written now; all by default. */
  readonly isDue?: (change: Change) => boolean;
}

export interface PassResult {
  /** What was decided, before it was written. */
  readonly decision: Decision;
  readonly report: WriteReport;
  readonly ledgerWrites: number;
}

const MAX_ALLOCATIONS = 5;

/**
 * One pass: decide, allocate VIPs, write, let freed VIPs rest.
 *
 * Nothing that uses a VIP is written before the ledger has it: a ledger block that moved meanwhile means that another
 * writer may have allocated the same address, so everything is decided anew from the newer state. Where the ledger cannot be
 * written, what stands goes on being updated with the VIPs that it has.
 *
 * @throws {ConflictError} When the ledger kept moving.
 * @throws When it cannot be written.
 */
export async function pass(options: PassOptions): Promise<PassResult> {
  const { target, decide, isDryRun, isDue = () => true } = options;
  for (let attempt = 1; ; attempt++) {
    const decision = await decide();
    const written = decision.ledger?.writes ?? [];
    const { create, update, delete: remove, hold } = decision.plan;
    const allocations = [...written, ...confirmations(create, written, target.standing().ledger)];
    if (isDryRun) return { decision, report: { results: [] }, ledgerWrites: 0 };
    try {
      if (allocations.length > 0) await target.writeLedger(allocations, options);
    } catch (error) {
      if (error instanceof ConflictError && attempt < MAX_ALLOCATIONS) continue;
      // What stands goes on with the VIP that it has: only what is new, or is to have another, waits for the ledger.
      const safe = update.filter(isDue).flatMap(withStandingAddresses);
      if (safe.length > 0) await target.write(safe, options);
      throw error;
    }
    if (allocations.length > 0 && !options.mayWrite()) return { decision, report: { results: [] }, ledgerWrites: 0 };
    const changes = [...update, ...create, ...remove].filter(isDue);
    const report = changes.length === 0 ? { results: [] } : await target.write(changes, options);
    await target.report(hold, options, vipNotices(report));
    const rested = await restFreed(options, report);
    return { decision, report, ledgerWrites: written.length + rested };
  }
}

/**
 * Ledger blocks that already have the VIPs of new entries, to be written as they are: whoever has seen nothing for a while may take a line
 * for its own that is somebody else's by now, and only the target knows.
 */
function confirmations(
  create: readonly Create[],
  written: readonly LedgerWrite[],
  ledger: ReadonlyMap<string, StandingLedgerBlock>,
): readonly LedgerWrite[] {
  const blocks = new Set(
    create.flatMap(({ object: { manifest } }) => vipsOf(manifest)).map((vip) => ledgerSpot(vip).block),
  );
  for (const { name } of written) blocks.delete(name);
  return [...blocks].flatMap((name) => ledger.get(name) ?? []);
}

function vipsOf(manifest: Manifest): readonly string[] {
  return manifest.kind === "ServiceEntry" ? (manifest.spec.addresses ?? []) : [];
}

/** The update without another VIP, or none where nothing else changes. */
function withStandingAddresses(change: Update): readonly Update[] {
  const { object, standing } = change;
  const [wanted, stands] = [object.manifest, standing.manifest];
  if (wanted.kind !== "ServiceEntry" || stands.kind !== "ServiceEntry") return [change];
  const { addresses: _, ...spec } = wanted.spec;
  const { addresses } = stands.spec;
  if (wanted.spec.addresses?.join() === addresses?.join()) return [change];
  const manifest = { ...wanted, spec: addresses === undefined ? spec : { ...spec, addresses } };
  const kept = { ...change, object: { ...object, manifest } };
  return sameObject(kept.object, standing) ? [] : [kept];
}

/** Write a decision that changes only what stands: it allocates no VIP, frees none, and holds what was held before. */
export async function writeUpdates(
  { plan }: Pick<Decision, "plan">,
  { target, isDryRun, isDue = () => true, ...options }: Omit<PassOptions, "decide">,
): Promise<WriteReport> {
  const changes = isDryRun ? [] : plan.update.filter(isDue);
  return changes.length === 0 ? { results: [] } : target.write(changes, options);
}

/** The VIPs of entries that were just deleted begin their rest now and not with the next pass, which may never come. */
async function restFreed({ target, decide, ...options }: PassOptions, report: WriteReport): Promise<number> {
  const isFreed = report.results.some(
    ({ change, outcome }) =>
      change.kind === "delete" && outcome === "written" && change.standing.manifest.kind === "ServiceEntry",
  );
  const releases = isFreed ? ((await decide()).ledger?.writes ?? []) : [];
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
