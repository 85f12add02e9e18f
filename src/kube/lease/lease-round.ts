import { hasStatus } from "../client/kube-error.ts";
import type { RawObject } from "../client/raw.ts";
import type { LeaseApi } from "./lease-api.ts";
import { CONFIG_ANNOTATION, formatMark, type LeaseRecord, type Mark, parseLease } from "./lease-record.ts";
import { absenceSeen, isFree, isLeading, type LeaseState, recordSeen, renewed } from "./lease-state.ts";

/** What a round of the election reads, writes and changes. */
export interface LeaseRound {
  readonly lease: LeaseApi;
  readonly state: LeaseState;
  /** The API server's time: what others read in `renewTime`. */
  readonly serverMs: () => number;
  /** Digest of our configuration. */
  readonly config?: string | undefined;
}

/**
 * Renew the Lease, or acquire it if it is free.
 *
 * @returns Whether we lead.
 * @throws When the Lease cannot be read or written.
 */
export async function acquireOrRenew(round: LeaseRound): Promise<boolean> {
  const { state } = round;
  // The leader knows the record from its last renewal; somebody's mark on it only costs one more read.
  if (isLeading(state) && state.seen !== undefined && (await tryWrite(round, state.seen))) return true;
  const record = await readLease(round);
  if (record !== undefined && !isFree(state, record)) return false;
  return (await tryWrite(round, record)) && isLeading(state);
}

/** Read the Lease into the state; `undefined` when there is none. */
export async function readLease({ lease, state }: LeaseRound): Promise<LeaseRecord | undefined> {
  const raw = await lease.read();
  if (raw !== undefined) return foldIn(state, raw);
  absenceSeen(state);
  return undefined;
}

/** Put marks on the Lease for its holder, whoever that is, or take them off. */
export async function markLease(
  { lease, state }: LeaseRound,
  marks: Readonly<Record<string, Mark | undefined>>,
): Promise<void> {
  const texts = Object.entries(marks).map(([name, mark]) => [name, mark === undefined ? null : formatMark(mark)]);
  foldIn(state, await lease.patch("mark", { metadata: { annotations: Object.fromEntries(texts) } }));
}

/** Whether another process leads by the same configuration as ours; `undefined` where none does, or either does not say its own. */
export function leaderConfig({ state: { seen, identity }, config }: LeaseRound): "same" | "other" | undefined {
  if (seen === undefined || seen.holder === "" || seen.holder === identity) return undefined;
  if (config === undefined || seen.config === undefined) return undefined;
  return seen.config === config ? "same" : "other";
}

/** Leave the Lease without a holder, if it is still ours: the next one need not wait for it to run out. */
export async function giveUp(round: LeaseRound): Promise<void> {
  const { lease, state, serverMs } = round;
  // Read first: a renewal under way may have come to an end, or somebody may have marked the Lease.
  const record = await readLease(round);
  if (record === undefined || record.holder !== state.identity) return;
  const spec = { holderIdentity: "", leaseDurationSeconds: 1, renewTime: microTime(serverMs()) };
  foldIn(state, await lease.patch("release", { metadata: { resourceVersion: record.resourceVersion }, spec }));
}

/** Acquire or renew the Lease as `record` shows it; false when somebody was quicker. */
async function tryWrite(round: LeaseRound, record: LeaseRecord | undefined): Promise<boolean> {
  try {
    await write(round, record);
    return true;
  } catch (error) {
    // 404: it was deleted; creating it gets that answer only where its namespace is missing.
    if (hasStatus(error, 409) || (hasStatus(error, 404) && record !== undefined)) return false;
    throw error;
  }
}

async function write(round: LeaseRound, record: LeaseRecord | undefined): Promise<void> {
  const { lease, state, serverMs, config } = round;
  const sentMs = state.monotonicMs();
  const spec = specOf(state, record, microTime(serverMs()));
  const raw =
    record === undefined
      ? await lease.create(spec)
      : await lease.patch("renew", {
          metadata: { resourceVersion: record.resourceVersion, ...configMark(config, record) },
          spec,
        });
  foldIn(state, raw);
  renewed(state, sentMs);
}

function configMark(config: string | undefined, record: LeaseRecord): object {
  return config === undefined || config === record.config ? {} : { annotations: { [CONFIG_ANNOTATION]: config } };
}

function specOf({ identity, times }: LeaseState, record: LeaseRecord | undefined, renewTime: string): object {
  const acquired =
    record?.holder === identity
      ? {}
      : { acquireTime: renewTime, leaseTransitions: record === undefined ? 0 : record.transitions + 1 };
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(times.leaseDurationMs / 1000),
    renewTime,
    ...acquired,
  };
}

function foldIn(state: LeaseState, raw: RawObject): LeaseRecord {
  const record = parseLease(raw);
  recordSeen(state, record);
  return record;
}

/** RFC 3339 with the six digits that Kubernetes wants here. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
