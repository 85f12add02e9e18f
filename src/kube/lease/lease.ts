import { pause } from "../../async/back-off.ts";
import type { Log } from "../../log.ts";
import type { KubeClient } from "../client/client.ts";
import { leaseApi } from "./lease-api.ts";
import { ALLOW_DELETES_ANNOTATION, type Mark, PRUNE_ANNOTATION, PRUNE_REFUSED_ANNOTATION } from "./lease-record.ts";
import { acquireOrRenew, giveUp, type LeaseRound, leaderConfig, markLease, readLease } from "./lease-round.ts";
import { isFree, isHeldLive, isLeading, leaseState, released, untilNextRoundMs } from "./lease-state.ts";

/** Options of {@link leaseElector}. */
export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Lease: `x2istio-<owner>`. */
  readonly name: string;
  /** Who we are; no two processes may share it. */
  readonly identity: string;
  /** Digest of our configuration, for other replicas to compare with theirs. */
  readonly config?: string;
  /** How long others wait after the last renewal they saw. Default 15 s. */
  readonly leaseDurationMs?: number;
  /** How long after its start a renewal lets us write. Default 10 s: a write takes at most 4 s and so ends before others take over. */
  readonly renewDeadlineMs?: number;
  /** Between two tries. Default 2 s. */
  readonly retryPeriodMs?: number;
  /** Told when leadership was won or lost, and when deletes were newly allowed. */
  readonly onChange?: (isLeader: boolean) => void;
  readonly log?: Pick<Log, "info" | "warn"> | undefined;
}

/** Takes part in the election of the one process that writes. */
export interface LeaseElector {
  /** Win the Lease and keep it, again and again, until `signal` aborts. Resolves then; does not release. */
  run(signal: AbortSignal): Promise<void>;
  /**
   * Win the Lease if nobody live holds it, and keep it until `release` or until `signal` aborts.
   *
   * A holder is live when its last renewal is recent by the API server's clock, or when the Lease changes while we watch it.
   *
   * @returns The live holder, or `undefined` when we lead.
   * @throws When the Lease cannot be read or written.
   */
  tryAcquireOnce(signal: AbortSignal): Promise<string | undefined>;
  /** Whether we may write at this moment. */
  isLeader(): boolean;
  /** Who holds the Lease as last seen; `undefined` when nobody does. */
  holder(): string | undefined;
  /** Whether another process leads by the same configuration; `undefined` where none does, or it does not say. */
  leaderConfig(): "same" | "other" | undefined;
  /** Whose deletes were allowed, as last seen on the Lease. */
  allowDeletes(): Mark | undefined;
  /**
   * Ask the leader to let the deletes of these registries go ahead.
   *
   * @throws When the Lease cannot be written.
   */
  markAllowDeletes(registries: readonly string[]): Promise<void>;
  /** What is to be pruned, as last seen on the Lease. */
  prune(): Mark | undefined;
  /**
   * Ask the leader to delete what stands of these registries. Gives whether it has refused that since.
   *
   * @throws When the Lease cannot be read or written.
   */
  markPrune(registries: readonly string[]): Promise<() => Promise<boolean>>;
  /** Take the mark to prune off, as that is done, or refused: then with that very mark. @throws When the Lease cannot be written. */
  answerPrune(refused?: Mark): Promise<void>;
  /** Stop and let the next one take over at once. A failure is only logged: the Lease then runs out by itself. */
  release(): Promise<void>;
}

/** client-go's rules for leader election (tools/leaderelection): times are measured by our own monotonic clock from what is seen to change. */
export function leaseElector(options: LeaseOptions): LeaseElector {
  const { client, namespace, name, identity, onChange, config, log } = options;
  const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2000 } = options;
  const state = leaseState(
    identity,
    { leaseDurationMs, renewDeadlineMs, retryPeriodMs },
    {
      onLeadership(leads) {
        log?.info({ lease: name, holder: state.seen?.holder, leads }, "leadership changed");
        onChange?.(leads);
      },
      onMark: (leads) => onChange?.(leads),
    },
  );
  const round: LeaseRound = { lease: leaseApi(client, namespace, name), state, serverMs: () => client.nowMs(), config };
  const stopping = new AbortController();
  let running: Promise<unknown> = Promise.resolve();

  const untilStopped = (signal: AbortSignal) => AbortSignal.any([signal, stopping.signal]);
  const keep = (signal: AbortSignal) => keepTrying(round, signal, name, log);
  return {
    run(signal) {
      const kept = keep(untilStopped(signal));
      running = kept;
      return kept;
    },
    async tryAcquireOnce(signal) {
      const both = untilStopped(signal);
      const holder = await acquireUnlessLive(round, both);
      if (holder === undefined) running = keep(both);
      return holder;
    },
    isLeader: () => isLeading(state),
    holder: () => (state.seen?.holder === "" ? undefined : state.seen?.holder),
    leaderConfig: () => leaderConfig(round),
    allowDeletes: () => state.seen?.allowDeletes,
    markAllowDeletes: (registries) =>
      markLease(round, { [ALLOW_DELETES_ANNOTATION]: { registries, atMs: round.serverMs() } }),
    prune: () => state.seen?.prune,
    async markPrune(registries) {
      // As the annotation has it, so that the answer can be told from one to an earlier mark.
      const atMs = Math.trunc(round.serverMs());
      await markLease(round, { [PRUNE_ANNOTATION]: { registries, atMs } });
      return async () => (await readLease(round))?.pruneRefused?.atMs === atMs;
    },
    // What is answered is not obeyed by who leads next, or with another configuration.
    answerPrune: (refused) => markLease(round, { [PRUNE_ANNOTATION]: undefined, [PRUNE_REFUSED_ANNOTATION]: refused }),
    async release() {
      stopping.abort(new Error("the Lease is being released"));
      released(state);
      await running;
      if (state.seen?.holder !== identity) return;
      try {
        await giveUp(round);
      } catch (error) {
        log?.warn({ lease: name, error }, "the Lease cannot be released and has to expire");
      }
    },
  };
}

/** One round after another until `signal` aborts; failures are logged. */
async function keepTrying(
  round: LeaseRound,
  signal: AbortSignal,
  name: string,
  log: LeaseOptions["log"],
): Promise<void> {
  let failures = 0;
  let warnedOf: string | undefined;
  while (!signal.aborted) {
    try {
      await acquireOrRenew(round);
      failures = 0;
      if (leaderConfig(round) === "other" && warnedOf !== round.state.seen?.config) {
        warnedOf = round.state.seen?.config;
        log?.warn(
          { lease: name, leader: round.state.seen?.holder, config: round.config, leaderConfig: warnedOf },
          "the leader runs by another configuration than this replica, for the same owner",
        );
      }
    } catch (error) {
      failures++;
      if (failures === 1 || failures % 30 === 0)
        log?.warn({ lease: name, failures, error }, "the Lease cannot be read or renewed");
    }
    await pause(untilNextRoundMs(round.state), signal);
  }
}

/** Acquire the Lease, or name its holder if that is live: by the time in the record, or as it renews while we watch. */
async function acquireUnlessLive(round: LeaseRound, signal: AbortSignal): Promise<string | undefined> {
  const { state, serverMs } = round;
  let before = await readLease(round);
  for (;;) {
    if (before !== undefined && isHeldLive(state, before, serverMs())) return before.holder;
    signal.throwIfAborted();
    if (await acquireOrRenew(round)) return undefined;
    const now = state.seen;
    const isRenewed = now !== undefined && before !== undefined && now.renewal !== before.renewal;
    if (isRenewed && !isFree(state, now)) return now.holder;
    before = now;
    await pause(state.times.retryPeriodMs, signal);
  }
}
