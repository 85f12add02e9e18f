import type { Upstream } from "./answer.ts";
import { boundedCache } from "./cache.ts";
import { RCODE } from "./codes.ts";
import { FAILURE_SECONDS, type ForeignAnswer, readForeign } from "./foreign.ts";
import type { Forwarder } from "./forward.ts";
import type { Asked } from "./upstream-query.ts";
import { HEADER_BYTES } from "./wire-name.ts";

/** How long an answer whose time is over may still stand in for one that cannot be had, and the TTL it then has (RFC 8767 §4). */
const MAX_STALE_SECONDS = 86_400;
const STALE_TTL_SECONDS = 30;
/** Clients are not let wait longer where there is such an answer (RFC 8767 §5). */
const CLIENT_WAIT_MS = 1800;
/** An answer that was used since it came is asked for again when this part of its time is left. */
const PREFETCH_PART = 0.1;
/** Answers of less than this are not worth it. */
const PREFETCH_LEAST_SECONDS = 10;

/** What others say, with how old it is. */
export interface Found {
  /** Undefined: nobody answered, lately. */
  readonly answer: ForeignAnswer | undefined;
  readonly ageSeconds: number;
  /** Set when its time is over. */
  readonly staleTtlSeconds: number | undefined;
}

/** Asks upstreams, and remembers. */
export interface Resolver {
  /** What is known of a question by its key, without asking anyone; undefined if that has to be done. */
  find(key: string): Found | undefined;
  /**
   * Ask. Questions with one key are asked once, however many want to know; beyond `maxWaiting` nobody is waited for.
   * What cannot be had is answered with what was known, for a day after its time, and is not asked for again within 30 s.
   */
  ask(asked: Asked, upstreams: readonly Upstream[]): Promise<Found>;
  /** What is kept. */
  size(): { readonly entries: number; readonly bytes: number };
}

/** Bounds of a resolver. */
export interface ResolverOptions {
  readonly forwarder: Pick<Forwarder, "ask">;
  /** Default 16 MiB; 0 keeps nothing. */
  readonly maxBytes?: number;
  /** Clients that wait at a time. Default 4096. */
  readonly maxWaiting?: number;
  /** Milliseconds, monotonic. */
  readonly nowMs?: () => number;
}

interface Entry {
  readonly asked: Asked;
  readonly upstreams: readonly Upstream[];
  readonly answer: ForeignAnswer | undefined;
  readonly storedAtMs: number;
  readonly ttlSeconds: number;
  /** Until then it stands in, although its time is over. */
  staleUntilMs: number;
  uses: number;
}

const NOTHING: Found = { answer: undefined, ageSeconds: 0, staleTtlSeconds: undefined };

/** A resolver with a cache of positive and negative answers (RFC 2308), served stale where nobody answers (RFC 8767). */
export function resolver(options: ResolverOptions): Resolver {
  const { forwarder, maxBytes = 16 * 2 ** 20, maxWaiting = 4096, nowMs = () => performance.now() } = options;
  const cache = boundedCache<Entry>(maxBytes);
  const underWay = new Map<string, Promise<Found>>();
  let waiting = 0;

  function foundOf(entry: Entry, now: number): Found {
    const ageSeconds = Math.floor((now - entry.storedAtMs) / 1000);
    const isFresh = now - entry.storedAtMs < entry.ttlSeconds * 1000;
    return { answer: entry.answer, ageSeconds, staleTtlSeconds: isFresh ? undefined : STALE_TTL_SECONDS };
  }

  function find(key: string): Found | undefined {
    const entry = cache.get(key);
    if (entry === undefined) return undefined;
    const now = nowMs();
    const leftMs = entry.storedAtMs + entry.ttlSeconds * 1000 - now;
    if (leftMs <= 0 && now >= entry.staleUntilMs) return undefined;
    entry.uses++;
    const isDue = entry.ttlSeconds >= PREFETCH_LEAST_SECONDS && leftMs < entry.ttlSeconds * 1000 * PREFETCH_PART;
    if (isDue && leftMs > 0 && entry.uses > 1) start(entry.asked, entry.upstreams).catch(() => undefined);
    return foundOf(entry, now);
  }

  /** What may stand in for an answer to `key`. */
  function staleOf(key: string): Entry | undefined {
    const entry = cache.get(key);
    const isGood = entry?.answer !== undefined && !isFailure(entry.answer);
    return isGood && nowMs() - entry.storedAtMs < (entry.ttlSeconds + MAX_STALE_SECONDS) * 1000 ? entry : undefined;
  }

  function start(asked: Asked, upstreams: readonly Upstream[]): Promise<Found> {
    const known = underWay.get(asked.key);
    if (known !== undefined) return known;
    const asking = askNow(asked, upstreams).finally(() => underWay.delete(asked.key));
    underWay.set(asked.key, asking);
    return asking;
  }

  async function askNow(asked: Asked, upstreams: readonly Upstream[]): Promise<Found> {
    const message = await forwarder.ask(asked, upstreams).catch(() => undefined);
    const answer = message === undefined ? undefined : readForeign(message, HEADER_BYTES + asked.question.length);
    const now = nowMs();
    const stale = answer === undefined || isFailure(answer) ? staleOf(asked.key) : undefined;
    if (stale !== undefined) {
      stale.staleUntilMs = now + STALE_TTL_SECONDS * 1000;
      return foundOf(stale, now);
    }
    const ttlSeconds = answer?.ttlSeconds ?? FAILURE_SECONDS;
    const entry: Entry = { asked, upstreams, answer, storedAtMs: now, ttlSeconds, staleUntilMs: 0, uses: 0 };
    if (ttlSeconds > 0) cache.put(asked.key, entry, (answer?.message.length ?? 0) + asked.question.length);
    return { answer, ageSeconds: 0, staleTtlSeconds: undefined };
  }

  async function ask(asked: Asked, upstreams: readonly Upstream[]): Promise<Found> {
    const stale = staleOf(asked.key);
    const asking = start(asked, upstreams);
    if (stale === undefined) return asking;
    const { promise, resolve } = Promise.withResolvers<Found>();
    const timer = setTimeout(() => resolve(foundOf(stale, nowMs())), CLIENT_WAIT_MS);
    try {
      return await Promise.race([asking, promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    find,
    async ask(asked, upstreams) {
      if (waiting >= maxWaiting) return NOTHING;
      waiting++;
      try {
        return await ask(asked, upstreams);
      } finally {
        waiting--;
      }
    },
    size: () => ({ entries: cache.size(), bytes: cache.bytes() }),
  };
}

/** Whether a server says that it cannot, or will not, answer. */
function isFailure({ rcode }: ForeignAnswer): boolean {
  return rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN;
}
