import type { Log } from "../log.ts";
import { pause } from "./backoff.ts";
import type { KubeClient } from "./client.ts";
import { hasStatus } from "./kube-error.ts";
import { leaseApi } from "./lease-api.ts";
import {
  ALLOW_DELETES_ANNOTATION,
  type AllowDeletes,
  formatAllowDeletes,
  type LeaseRecord,
  parseLease,
} from "./lease-record.ts";
import type { RawObject } from "./raw.ts";

/** Options of {@link leaseElector}. */
export interface LeaseOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Lease: `x2istio-<owner>`. */
  readonly name: string;
  /** Who we are; no two processes may share it. */
  readonly identity: string;
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
   * A holder is live when its last renewal is recent by the API server's clock, or when the Lease changes while we look.
   *
   * @returns The live holder, or `undefined` when we lead.
   * @throws When the Lease cannot be read or written.
   */
  tryAcquireOnce(signal: AbortSignal): Promise<string | undefined>;
  /** Whether we may write at this moment. */
  isLeader(): boolean;
  /** Who holds the Lease as last seen; `undefined` when nobody does. */
  holder(): string | undefined;
  /** Whose deletes were allowed, as last seen on the Lease. */
  allowDeletes(): AllowDeletes | undefined;
  /**
   * Ask the leader to let the deletes of these registries go ahead.
   *
   * @throws When the Lease cannot be written.
   */
  markAllowDeletes(registries: readonly string[]): Promise<void>;
  /** Stop and let the next one take over at once. A failure is only logged: the Lease then runs out by itself. */
  release(): Promise<void>;
}

/** client-go's rules for leader election (tools/leaderelection): times are measured by our own monotonic clock from what we see change. */
export function leaseElector(options: LeaseOptions): LeaseElector {
  const { client, namespace, name, identity, log } = options;
  const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2000, onChange } = options;
  const lease = leaseApi(client, namespace, name);
  const stopping = new AbortController();
  let seen: LeaseRecord | undefined;
  let changedAtMs = 0;
  let leadsUntilMs = Number.NEGATIVE_INFINITY;
  let wasLeader = false;
  let expiry: NodeJS.Timeout | undefined;
  let running: Promise<unknown> = Promise.resolve();

  const isLeader = () => performance.now() < leadsUntilMs;

  function tellChange(): void {
    if (isLeader() === wasLeader) return;
    wasLeader = !wasLeader;
    log?.info({ lease: name, holder: seen?.holder, leads: wasLeader }, "leadership changed");
    onChange?.(wasLeader);
  }

  /** Lead until then; others are told when that time has come. */
  function leadUntil(untilMs: number): void {
    leadsUntilMs = untilMs;
    clearTimeout(expiry);
    // A timer may fire a little early.
    if (isLeader()) expiry = setTimeout(tellChange, untilMs - performance.now() + 5).unref();
    tellChange();
  }

  function observe(raw: RawObject): LeaseRecord {
    const record = parseLease(raw);
    if (record.renewal !== seen?.renewal) changedAtMs = performance.now();
    const isMarked = record.allowDeletes !== undefined && record.allowDeletes.atMs !== seen?.allowDeletes?.atMs;
    seen = record;
    if (isMarked) onChange?.(isLeader());
    if (record.holder !== identity) leadUntil(Number.NEGATIVE_INFINITY);
    return record;
  }

  /** `undefined` when there is none. */
  async function read(): Promise<LeaseRecord | undefined> {
    const raw = await lease.read();
    if (raw !== undefined) return observe(raw);
    seen = undefined;
    leadUntil(Number.NEGATIVE_INFINITY);
    return undefined;
  }

  /** Take or renew the Lease as `record` shows it. Leadership counts from the start of the request. */
  async function claim(record: LeaseRecord | undefined): Promise<void> {
    const startedMs = performance.now();
    const renewTime = microTime(client.nowMs());
    const taken =
      record?.holder === identity
        ? {}
        : { acquireTime: renewTime, leaseTransitions: record === undefined ? 0 : record.transitions + 1 };
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
      renewTime,
      ...taken,
    };
    const raw =
      record === undefined
        ? await lease.create(spec)
        : await lease.patch("renew", { metadata: { resourceVersion: record.resourceVersion }, spec });
    observe(raw);
    if (!stopping.signal.aborted) leadUntil(startedMs + renewDeadlineMs);
  }

  /** Tells whether nobody was quicker. */
  async function tryClaim(record: LeaseRecord | undefined): Promise<boolean> {
    try {
      await claim(record);
      return true;
    } catch (error) {
      // 404: it was deleted; creating it gets that answer only where its namespace is missing.
      if (hasStatus(error, 409) || (hasStatus(error, 404) && record !== undefined)) return false;
      throw error;
    }
  }

  /** When we may take over, unless the holder renews: by our own clock, from when we saw its last renewal. */
  const runsOutAtMs = (record: LeaseRecord) => changedAtMs + Math.max(leaseDurationMs, record.durationMs);

  const isFree = (record: LeaseRecord) =>
    record.holder === "" || record.holder === identity || performance.now() > runsOutAtMs(record);

  /** One round: renew, or take what is free. Tells whether we lead. */
  async function attempt(): Promise<boolean> {
    // The leader knows the record from its last renewal; somebody's mark on it only costs one more read.
    if (isLeader() && seen !== undefined && (await tryClaim(seen))) return true;
    const record = await read();
    if (record !== undefined && !isFree(record)) return false;
    return (await tryClaim(record)) && isLeader();
  }

  async function keep(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        await attempt();
        failures = 0;
      } catch (error) {
        failures++;
        if (failures === 1 || failures % 30 === 0)
          log?.warn({ lease: name, failures, error }, "the Lease cannot be read or renewed");
      }
      await pause(untilNextTryMs(), signal);
    }
  }

  function untilNextTryMs(): number {
    if (isLeader()) return retryPeriodMs; // a leader renews on time
    // Jitter, as several may rush in. A Lease that runs out sooner is not waited for longer than that.
    const periodMs = retryPeriodMs * (0.8 + Math.random() * 0.4);
    const leftMs = seen === undefined ? 0 : runsOutAtMs(seen) - performance.now();
    return leftMs > 0 ? Math.min(periodMs, leftMs + periodMs / 20) : periodMs;
  }

  /** Whether somebody else renewed within the record's own duration by the API server's clock; a holder whose clock is off is not known to be live. */
  function isLiveByRecord({ holder, renewedMs, durationMs }: LeaseRecord): boolean {
    return (
      holder !== "" &&
      holder !== identity &&
      renewedMs !== undefined &&
      Math.abs(client.nowMs() - renewedMs) < durationMs
    );
  }

  async function tryAcquireOnce(signal: AbortSignal): Promise<string | undefined> {
    const both = AbortSignal.any([signal, stopping.signal]);
    let before = await read();
    for (;;) {
      if (before !== undefined && isLiveByRecord(before)) return before.holder;
      both.throwIfAborted();
      if (await attempt()) break;
      const now = seen;
      if (now !== undefined && before !== undefined && now.renewal !== before.renewal && !isFree(now))
        return now.holder;
      before = now;
      await pause(retryPeriodMs, both);
    }
    running = keep(both);
    return undefined;
  }

  return {
    run(signal) {
      const kept = keep(AbortSignal.any([signal, stopping.signal]));
      running = kept;
      return kept;
    },
    tryAcquireOnce,
    isLeader,
    holder: () => (seen?.holder === "" ? undefined : seen?.holder),
    allowDeletes: () => seen?.allowDeletes,
    async markAllowDeletes(registries) {
      const annotations = { [ALLOW_DELETES_ANNOTATION]: formatAllowDeletes({ registries, atMs: client.nowMs() }) };
      observe(await lease.patch("mark", { metadata: { annotations } }));
    },
    async release() {
      stopping.abort(new Error("the Lease is being released"));
      leadUntil(Number.NEGATIVE_INFINITY);
      await running;
      if (seen?.holder !== identity) return;
      try {
        await giveUp();
      } catch (error) {
        log?.warn({ lease: name, error }, "the Lease cannot be released and has to run out");
      }
    },
  };

  async function giveUp(): Promise<void> {
    // Read first: a renewal under way may have come to an end, or somebody may have marked the Lease.
    const record = await read();
    if (record === undefined || record.holder !== identity) return;
    const spec = { holderIdentity: "", leaseDurationSeconds: 1, renewTime: microTime(client.nowMs()) };
    observe(await lease.patch("release", { metadata: { resourceVersion: record.resourceVersion }, spec }));
  }
}

/** RFC 3339 with the six digits that Kubernetes wants here. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
