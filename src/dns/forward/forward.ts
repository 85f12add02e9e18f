import type { DnsLog } from "../observe/quiet-log.ts";
import { RCODE } from "../wire/codes.ts";
import { rcodeOf } from "../wire/header.ts";
import { HEADER_BYTES } from "../wire/sizes.ts";
import { exchange } from "./exchange.ts";
import { firstGood } from "./first-good.ts";
import { type TlsClient, tlsClient } from "./tls-client.ts";
import type { Upstream } from "./upstream.ts";
import type { Asked } from "./upstream-query.ts";

/** Asks other DNS servers. */
export interface Forwarder {
  /**
   * An upstream's answer to a question of ours, as it came; undefined if there is none to give.
   *
   * An upstream that is silent for 400 ms is not waited for alone: the next is asked as well (a lone one again), and the first answer
   * counts. One that fails, or answers SERVFAIL or REFUSED, is followed by the next at once; if all do, the last answer stands.
   * Upstreams that are down come last.
   */
  ask(asked: Asked, upstreams: readonly Upstream[], signal?: AbortSignal): Promise<Buffer | undefined>;
  /** Give up on every question under way. */
  close(): void;
}

/** Limits of a forwarder. */
export interface ForwardOptions {
  /** For each upstream, its retry by TCP included. Default 2000. */
  readonly timeoutMs?: number;
  /** The question that finds out, after one that failed, whether an upstream is back. */
  readonly probe: (failed: Asked) => Asked;
  /** Whether the answer to a probe shows that it came back to us. */
  readonly isLoop: (answer: Buffer) => boolean;
  readonly log: DnsLog;
}

/** When an upstream is no longer waited for alone. */
const STAGGER_MS = 400;
/** An upstream is down after this many failures in a row, until it answers a probe. */
const MOST_FAILURES = 3;
const FIRST_PROBE_MS = 1000;
const LAST_PROBE_MS = 15_000;

interface UpstreamState {
  readonly upstream: Upstream;
  readonly tls: TlsClient | undefined;
  failures: number;
  isDown: boolean;
  /** It leads back to us. */
  isLoop: boolean;
  /** It repeats a question's letters as they were sent. */
  keepsCase: boolean;
}

interface State {
  readonly options: ForwardOptions;
  /** By address, port and name. */
  readonly upstreams: Map<string, UpstreamState>;
  /** Questions to single upstreams that are under way. */
  readonly attempts: Set<AbortController>;
  /** Probes that are due later. */
  readonly timers: Set<NodeJS.Timeout>;
  isClosed: boolean;
}

/** A forwarder with a memory for which upstreams work. dns2's clients are not used: they do not compare an answer's question. */
export function forwarder(options: ForwardOptions): Forwarder {
  const state: State = {
    options,
    upstreams: new Map(),
    attempts: new Set(),
    timers: new Set(),
    isClosed: false,
  };
  return {
    async ask(asked, upstreams, signal) {
      return state.isClosed ? undefined : askAll(state, asked, upstreams, signal);
    },
    close() {
      state.isClosed = true;
      for (const timer of state.timers) clearTimeout(timer);
      for (const attempt of state.attempts) attempt.abort(new Error("the server stops"));
      for (const { tls } of state.upstreams.values()) tls?.close();
    },
  };
}

function askAll(
  state: State,
  asked: Asked,
  upstreams: readonly Upstream[],
  signal: AbortSignal | undefined,
): Promise<Buffer | undefined> {
  const all = upstreams.map((upstream) => upstreamState(state, upstream)).filter(({ isLoop }) => !isLoop);
  const order = [...all.filter(({ isDown }) => !isDown), ...all.filter(({ isDown }) => isDown)];
  const [first] = order;
  const attempts = order.length === 1 && first !== undefined ? [first, first] : order;
  return firstGood(attempts, (upstream, stop) => askOne(state, asked, upstream, stop), {
    staggerMs: STAGGER_MS,
    isGood,
    signal,
  });
}

function upstreamState({ upstreams }: State, upstream: Upstream): UpstreamState {
  const key = `${upstream.address} ${upstream.port} ${upstream.tls?.name ?? ""}`;
  let found = upstreams.get(key);
  if (found === undefined) {
    const tls = upstream.tls === undefined ? undefined : tlsClient(upstream);
    found = { upstream, tls, failures: 0, isDown: false, isLoop: false, keepsCase: true };
    upstreams.set(key, found);
  }
  return found;
}

async function askOne(state: State, asked: Asked, to: UpstreamState, stop?: AbortSignal): Promise<Buffer> {
  // The end of the last attempt makes the next one begin.
  if (state.isClosed) throw new Error("the server stops");
  const { upstream, tls, keepsCase } = to;
  const { timeoutMs = 2000 } = state.options;
  const attempt = new AbortController();
  const abort = () => attempt.abort(new Error("another upstream was quicker"));
  const timer = setTimeout(() => attempt.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  const startedMs = performance.now();
  stop?.addEventListener("abort", abort);
  state.attempts.add(attempt);
  try {
    const how = { asked, upstream, mixCase: keepsCase, signal: attempt.signal };
    const found = await (tls === undefined ? exchange(how) : tls.ask(asked, attempt.signal));
    if (tls === undefined && !found.keepsCase) to.keepsCase = false;
    to.failures = 0;
    return found.answer;
  } catch (error) {
    // An upstream that was overtaken at once has shown nothing.
    if (!state.isClosed && (stop?.aborted !== true || performance.now() - startedMs >= STAGGER_MS))
      onFailure(state, to, asked, error);
    throw error;
  } finally {
    clearTimeout(timer);
    stop?.removeEventListener("abort", abort);
    state.attempts.delete(attempt);
  }
}

function onFailure(state: State, to: UpstreamState, asked: Asked, error: unknown): void {
  to.failures++;
  if (to.isDown || to.failures < MOST_FAILURES) return;
  to.isDown = true;
  state.options.log.warn({ upstream: nameOf(to), error }, "an upstream does not answer");
  probeLater(state, to, state.options.probe(asked), FIRST_PROBE_MS);
}

function probeLater(state: State, to: UpstreamState, question: Asked, ms: number): void {
  if (state.isClosed) return;
  const timer = setTimeout(async () => {
    state.timers.delete(timer);
    const isBack = await probe(state, to, question);
    if (!isBack) probeLater(state, to, question, Math.min(ms * 2, LAST_PROBE_MS));
  }, ms);
  timer.unref();
  state.timers.add(timer);
}

/** Whether the upstream can be asked again. */
async function probe(state: State, to: UpstreamState, question: Asked): Promise<boolean> {
  const { isLoop, log } = state.options;
  try {
    const answer = await askOne(state, question, to);
    to.isDown = false;
    const wasLoop = to.isLoop;
    to.isLoop = isLoop(answer);
    if (to.isLoop && !wasLoop)
      log.warn({ upstream: nameOf(to) }, "an upstream leads back to this server; it is not asked");
    return !to.isLoop;
  } catch {
    return false;
  }
}

function nameOf({ upstream: { address, port } }: UpstreamState): string {
  return `${address}:${port}`;
}

function isGood(answer: Buffer): boolean {
  return answer.length >= HEADER_BYTES && rcodeOf(answer) !== RCODE.SERVFAIL && rcodeOf(answer) !== RCODE.REFUSED;
}
