import { RCODE } from "../wire/codes.ts";
import { FAILURE_SECONDS, type ForeignAnswer, readForeign } from "../wire/foreign.ts";
import { HEADER_BYTES } from "../wire/sizes.ts";
import { boundedCache, type Cache } from "./cache.ts";
import type { Forwarder } from "./forward.ts";
import { type UnderWay, underWay } from "./under-way.ts";
import type { Upstream } from "./upstream.ts";
import type { Asked } from "./upstream-query.ts";

/** How long an answer whose time is over may still stand in for one that cannot be had, and the TTL it then has (RFC 8767 §4). */
const MAX_STALE_SECONDS = 86_400;
const STALE_TTL_SECONDS = 30;
/** Clients are not let wait longer where there is such an answer (RFC 8767 §5). */
const CLIENT_WAIT_MS = 1800;
/** An answer that was used since it came is asked for again when this part of its time is left. */
const PREFETCH_PART = 0.1;
/** Answers of less than this are not asked for again early. */
const PREFETCH_LEAST_SECONDS = 10;

/** What others say, with how old it is. */
export interface Found {
  /** Undefined: nobody answered, lately. */
  readonly answer: ForeignAnswer | undefined;
  readonly ageSeconds: number;
  /** Set when its time is over. */
  readonly staleTtlSeconds: number | undefined;
}

/** Asks upstreams, with a cache. */
export interface Resolver {
  /** What is known of a question by its key, without asking anyone; undefined if that has to be done. */
  find(key: string): Found | undefined;
  /**
   * Ask for a client. Questions with one key are asked once, however many want to know. Where too many are under way, or too many wait,
   * the client that has most of them loses its oldest.
   * What cannot be had is answered with what was known, for a day after its time, and is not asked for again within 30 s.
   *
   * @param client what shares places with others as one
   */
  ask(asked: Asked, upstreams: readonly Upstream[], client: string): Promise<Found>;
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
  /** Questions under way at a time. Default 512. */
  readonly maxQuestions?: number;
  /** Told of a client that has lost its place to others. */
  readonly onDropped?: (client: string) => void;
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

interface State {
  readonly forwarder: Pick<Forwarder, "ask">;
  readonly nowMs: () => number;
  readonly cache: Cache<Entry>;
  readonly underWay: UnderWay<Found>;
}

/** A resolver with a cache of positive and negative answers (RFC 2308), served stale where nobody answers (RFC 8767). */
export function resolver(options: ResolverOptions): Resolver {
  const { forwarder, maxBytes = 16 * 2 ** 20, nowMs = () => performance.now() } = options;
  const { maxWaiting = 4096, maxQuestions = 512, onDropped = () => {} } = options;
  const cache = boundedCache<Entry>(maxBytes);
  const state: State = { forwarder, nowMs, cache, underWay: underWay({ maxWaiting, maxQuestions, onDropped }) };
  return {
    find: (key) => find(state, key),
    ask: (asked, upstreams, client) => ask(state, asked, upstreams, client),
    size: () => ({ entries: cache.size(), bytes: cache.bytes() }),
  };
}

function find(state: State, key: string): Found | undefined {
  const entry = state.cache.get(key);
  if (entry === undefined) return undefined;
  const nowMs = state.nowMs();
  const leftMs = entry.storedAtMs + entry.ttlSeconds * 1000 - nowMs;
  if (leftMs <= 0 && nowMs >= entry.staleUntilMs) return undefined;
  entry.uses++;
  const isDue = entry.ttlSeconds >= PREFETCH_LEAST_SECONDS && leftMs < entry.ttlSeconds * 1000 * PREFETCH_PART;
  if (isDue && leftMs > 0 && entry.uses > 1)
    state.underWay.begin(key, (signal) => askNow(state, entry.asked, entry.upstreams, signal));
  return foundOf(entry, nowMs);
}

/** Ask, and after a while answer with what is stale, if there is something. */
async function ask(state: State, asked: Asked, upstreams: readonly Upstream[], client: string): Promise<Found> {
  const stale = staleOf(state, asked.key);
  const asking = state.underWay
    .wait(asked.key, client, (signal) => askNow(state, asked, upstreams, signal))
    .then((found) => found ?? (stale === undefined ? NOTHING : foundOf(stale, state.nowMs())));
  if (stale === undefined) return asking;
  const { promise, resolve } = Promise.withResolvers<Found>();
  const timer = setTimeout(() => resolve(foundOf(stale, state.nowMs())), CLIENT_WAIT_MS);
  try {
    return await Promise.race([asking, promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function askNow(state: State, asked: Asked, upstreams: readonly Upstream[], signal: AbortSignal): Promise<Found> {
  const message = await state.forwarder.ask(asked, upstreams, signal).catch(() => undefined);
  // That nobody waits any more says nothing of the name.
  if (message === undefined && signal.aborted) return NOTHING;
  const answer = message === undefined ? undefined : readForeign(message, HEADER_BYTES + asked.question.length);
  const nowMs = state.nowMs();
  const stale = answer === undefined || isFailure(answer) ? staleOf(state, asked.key) : undefined;
  if (stale !== undefined) {
    stale.staleUntilMs = nowMs + STALE_TTL_SECONDS * 1000;
    return foundOf(stale, nowMs);
  }
  const ttlSeconds = answer?.ttlSeconds ?? FAILURE_SECONDS;
  const entry: Entry = { asked, upstreams, answer, storedAtMs: nowMs, ttlSeconds, staleUntilMs: 0, uses: 0 };
  const answerBytes = answer === undefined ? 0 : answer.message.length + answer.echoes.byteLength;
  if (ttlSeconds > 0) state.cache.put(asked.key, entry, answerBytes + asked.question.length);
  return { answer, ageSeconds: 0, staleTtlSeconds: undefined };
}

/** What may stand in for an answer to `key`. */
function staleOf({ cache, nowMs }: State, key: string): Entry | undefined {
  const entry = cache.get(key);
  const isGood = entry?.answer !== undefined && !isFailure(entry.answer);
  return isGood && nowMs() - entry.storedAtMs < (entry.ttlSeconds + MAX_STALE_SECONDS) * 1000 ? entry : undefined;
}

function foundOf(entry: Entry, nowMs: number): Found {
  const ageSeconds = Math.floor((nowMs - entry.storedAtMs) / 1000);
  const isFresh = nowMs - entry.storedAtMs < entry.ttlSeconds * 1000;
  return { answer: entry.answer, ageSeconds, staleTtlSeconds: isFresh ? undefined : STALE_TTL_SECONDS };
}

/** Whether a server says that it cannot, or will not, answer. */
function isFailure({ rcode }: ForeignAnswer): boolean {
  return rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN;
}
