import type { LeaseRecord } from "./lease-record.ts";

/** Times of the election: LeaseDuration, RenewDeadline and RetryPeriod of client-go (tools/leaderelection). */
export interface LeaseTimes {
  readonly leaseDurationMs: number;
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

/** Who is told of changes, at once. */
export interface LeaseListener {
  /** We lead from now on, or no more. */
  readonly onLeadership: (leads: boolean) => void;
  /** The Lease carries another mark that asks its holder for something. */
  readonly onMark: (leads: boolean) => void;
}

/**
 * What one process knows of the Lease, and whether it leads. Only the functions of this file change it.
 * Its times are of this process's monotonic clock: others' clocks decide nothing.
 */
export interface LeaseState {
  readonly identity: string;
  readonly times: LeaseTimes;
  readonly listener: LeaseListener;
  readonly monotonicMs: () => number;
  /** The Lease as last read or written; `undefined` when there was none, or before the first read. */
  seen: LeaseRecord | undefined;
  /** When the renewal that `seen` shows was first seen. */
  renewalSeenMs: number;
  /** We may write before this moment; −∞ while we do not lead. */
  leadsUntilMs: number;
  /** What the listener was told last. */
  toldLeads: boolean;
  /** Tells the listener when `leadsUntilMs` has passed without a renewal. */
  expiry: NodeJS.Timeout | undefined;
  /** Once true, no answer to a request still under way makes us lead again. */
  isReleased: boolean;
}

/** Nothing seen, not leading. */
export function leaseState(
  identity: string,
  times: LeaseTimes,
  listener: LeaseListener,
  monotonicMs: () => number = () => performance.now(),
): LeaseState {
  return {
    ...{ identity, times, listener, monotonicMs },
    seen: undefined,
    renewalSeenMs: 0,
    leadsUntilMs: Number.NEGATIVE_INFINITY,
    toldLeads: false,
    expiry: undefined,
    isReleased: false,
  };
}

/** Whether we may write at this moment. */
export function isLeading({ leadsUntilMs, monotonicMs }: LeaseState): boolean {
  return monotonicMs() < leadsUntilMs;
}

/** The Lease as an answer shows it. Where it names another holder, we lead no more. */
export function recordSeen(state: LeaseState, record: LeaseRecord): void {
  const { seen, listener, identity, monotonicMs } = state;
  if (record.renewal !== seen?.renewal) state.renewalSeenMs = monotonicMs();
  const isMarked =
    (record.allowDeletes !== undefined && record.allowDeletes.atMs !== seen?.allowDeletes?.atMs) ||
    (record.prune !== undefined && record.prune.atMs !== seen?.prune?.atMs);
  state.seen = record;
  if (isMarked) listener.onMark(isLeading(state));
  if (record.holder !== identity) leadUntil(state, Number.NEGATIVE_INFINITY);
}

/** There is no Lease, so we hold none. */
export function absenceSeen(state: LeaseState): void {
  state.seen = undefined;
  leadUntil(state, Number.NEGATIVE_INFINITY);
}

/**
 * The Lease was acquired or renewed by a request that was sent at `sentMs`. We lead from then for `renewDeadlineMs`, which ends
 * before the `leaseDurationMs` that others wait from when they see the renewal: they cannot see it before it was sent.
 */
export function renewed(state: LeaseState, sentMs: number): void {
  if (!state.isReleased) leadUntil(state, sentMs + state.times.renewDeadlineMs);
}

/** Lead no more, for good. */
export function released(state: LeaseState): void {
  state.isReleased = true;
  leadUntil(state, Number.NEGATIVE_INFINITY);
}

function leadUntil(state: LeaseState, untilMs: number): void {
  state.leadsUntilMs = untilMs;
  clearTimeout(state.expiry);
  // A timer may fire a little early.
  if (isLeading(state)) state.expiry = setTimeout(tellChange, untilMs - state.monotonicMs() + 5, state).unref();
  tellChange(state);
}

function tellChange(state: LeaseState): void {
  if (isLeading(state) === state.toldLeads) return;
  state.toldLeads = !state.toldLeads;
  state.listener.onLeadership(state.toldLeads);
}

/** Whether the Lease may be taken or renewed by us: it is nobody's, ours, or its holder has not renewed it in time. */
export function isFree(state: LeaseState, record: LeaseRecord): boolean {
  const { identity, monotonicMs } = state;
  return record.holder === "" || record.holder === identity || monotonicMs() > runsOutMs(state, record);
}

/** When the Lease runs out unless its holder renews it: a duration after we saw the last renewal, the longer of its and ours. */
function runsOutMs({ renewalSeenMs, times }: LeaseState, { durationMs }: LeaseRecord): number {
  return renewalSeenMs + Math.max(times.leaseDurationMs, durationMs);
}

/** How long to wait before the next round. */
export function untilNextRoundMs(state: LeaseState): number {
  const { seen, times, monotonicMs } = state;
  if (isLeading(state)) return times.retryPeriodMs; // a leader renews on time
  // Jitter, as several may rush in. A Lease that runs out sooner is not waited for longer than that.
  const periodMs = times.retryPeriodMs * (0.8 + Math.random() * 0.4);
  const leftMs = seen === undefined ? 0 : runsOutMs(state, seen) - monotonicMs();
  return leftMs > 0 ? Math.min(periodMs, leftMs + periodMs / 20) : periodMs;
}

/**
 * Whether somebody else renewed the Lease within its duration, by the API server's clock; a holder whose clock is off is not
 * known to be live.
 *
 * @param serverMs the API server's time
 */
export function isHeldLive(
  { identity }: Pick<LeaseState, "identity">,
  { holder, renewedMs, durationMs }: LeaseRecord,
  serverMs: number,
): boolean {
  return holder !== "" && holder !== identity && renewedMs !== undefined && Math.abs(serverMs - renewedMs) < durationMs;
}
