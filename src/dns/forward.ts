import type { Upstream } from "./answer.ts";
import { RCODE } from "./codes.ts";
import { exchange } from "./exchange.ts";
import { rcodeOf } from "./message.ts";
import type { DnsLog } from "./quiet-log.ts";
import { type TlsClient, tlsClient } from "./tls-client.ts";
import type { Asked } from "./upstream-query.ts";
import { HEADER_BYTES } from "./wire-name.ts";

/** How a question came in. */
export type Transport = "udp" | "tcp";

/** Asks other DNS servers. */
export interface Forwarder {
  /**
   * An upstream's answer to a question of ours, as it came; undefined if there is none to give.
   *
   * An upstream that is silent for 400 ms is not waited for alone: the next is asked as well (a lone one again), and the first answer
   * counts. One that fails, or answers SERVFAIL or REFUSED, is followed by the next at once; if all do, the last answer stands.
   * Upstreams that are down come last.
   */
  ask(asked: Asked, upstreams: readonly Upstream[]): Promise<Buffer | undefined>;
  /** Give up on every question under way. */
  close(): void;
}

/** Limits of a forwarder. */
export interface ForwardOptions {
  /** For each upstream, its retry by TCP included. Default 2000. */
  readonly timeoutMs?: number;
  /** Questions under way at a time; beyond, `ask` gives undefined. Default 512. */
  readonly maxInFlight?: number;
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

interface State {
  readonly upstream: Upstream;
  readonly tls: TlsClient | undefined;
  failures: number;
  isDown: boolean;
  /** It leads back to us. */
  isLoop: boolean;
  /** It repeats a question's letters as they were sent. */
  keepsCase: boolean;
}

/** A forwarder with a memory for which upstreams work. dns2's clients are not used: they do not compare an answer's question. */
export function forwarder(options: ForwardOptions): Forwarder {
  const { timeoutMs = 2000, maxInFlight = 512, log } = options;
  const states = new Map<string, State>();
  const attempts = new Set<AbortController>();
  const timers = new Set<NodeJS.Timeout>();
  let inFlight = 0;
  let isClosed = false;

  function stateOf(upstream: Upstream): State {
    const key = `${upstream.address} ${upstream.port} ${upstream.tls?.name ?? ""}`;
    let state = states.get(key);
    if (state === undefined) {
      const tls = upstream.tls === undefined ? undefined : tlsClient(upstream);
      state = { upstream, tls, failures: 0, isDown: false, isLoop: false, keepsCase: true };
      states.set(key, state);
    }
    return state;
  }

  async function askOne(asked: Asked, state: State, stop?: AbortSignal): Promise<Buffer> {
    const { upstream, tls, keepsCase } = state;
    const attempt = new AbortController();
    const abort = () => attempt.abort(new Error("another upstream was quicker"));
    const timer = setTimeout(() => attempt.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    const startedMs = performance.now();
    stop?.addEventListener("abort", abort);
    attempts.add(attempt);
    try {
      const how = { asked, upstream, mixCase: keepsCase, signal: attempt.signal };
      const found = await (tls === undefined ? exchange(how) : tls.ask(asked, attempt.signal));
      if (tls === undefined && !found.keepsCase) state.keepsCase = false;
      state.failures = 0;
      return found.answer;
    } catch (error) {
      // An upstream that was overtaken at once has shown nothing.
      if (!isClosed && (stop?.aborted !== true || performance.now() - startedMs >= STAGGER_MS))
        onFailure(state, asked, error);
      throw error;
    } finally {
      clearTimeout(timer);
      stop?.removeEventListener("abort", abort);
      attempts.delete(attempt);
    }
  }

  function onFailure(state: State, asked: Asked, error: unknown): void {
    const { address, port } = state.upstream;
    state.failures++;
    if (state.isDown || state.failures < MOST_FAILURES) return;
    state.isDown = true;
    log.warn({ upstream: `${address}:${port}`, error }, "an upstream does not answer");
    probeLater(state, options.probe(asked), FIRST_PROBE_MS);
  }

  function probeLater(state: State, question: Asked, ms: number): void {
    if (isClosed) return;
    const timer = setTimeout(async () => {
      timers.delete(timer);
      const isBack = await probe(state, question);
      if (!isBack) probeLater(state, question, Math.min(ms * 2, LAST_PROBE_MS));
    }, ms);
    timer.unref();
    timers.add(timer);
  }

  /** Whether the upstream can be asked again. */
  async function probe(state: State, question: Asked): Promise<boolean> {
    const { address, port } = state.upstream;
    try {
      const answer = await askOne(question, state);
      state.isDown = false;
      const wasLoop = state.isLoop;
      state.isLoop = options.isLoop(answer);
      if (state.isLoop && !wasLoop)
        log.warn({ upstream: `${address}:${port}` }, "an upstream leads back to this server; it is not asked");
      return !state.isLoop;
    } catch {
      return false;
    }
  }

  function askAll(asked: Asked, upstreams: readonly Upstream[]): Promise<Buffer | undefined> {
    const all = upstreams.map(stateOf).filter(({ isLoop }) => !isLoop);
    const order = [...all.filter(({ isDown }) => !isDown), ...all.filter(({ isDown }) => isDown)];
    const [first] = order;
    return firstGood(order.length === 1 && first !== undefined ? [first, first] : order, (state, stop) =>
      askOne(asked, state, stop),
    );
  }

  return {
    async ask(asked, upstreams) {
      if (isClosed || inFlight >= maxInFlight) return undefined;
      inFlight++;
      try {
        return await askAll(asked, upstreams);
      } finally {
        inFlight--;
      }
    },
    close() {
      isClosed = true;
      for (const timer of timers) clearTimeout(timer);
      for (const attempt of attempts) attempt.abort(new Error("the server stops"));
      for (const { tls } of states.values()) tls?.close();
    },
  };
}

/** Try one after the other, the next when one fails or is slow; all end with the first good answer. */
function firstGood(
  states: readonly State[],
  attempt: (state: State, stop: AbortSignal) => Promise<Buffer>,
): Promise<Buffer | undefined> {
  const stop = new AbortController();
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  let next = 0;
  let running = 0;
  let last: Buffer | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function run(state: State): Promise<void> {
    running++;
    const answer = await attempt(state, stop.signal).catch(() => undefined);
    running--;
    last = answer ?? last;
    if (answer !== undefined && isGood(answer)) resolve(answer);
    else if (!stop.signal.aborted) proceed();
  }

  function proceed(): void {
    clearTimeout(timer);
    const state = states[next++];
    if (state !== undefined) {
      if (next < states.length) timer = setTimeout(proceed, STAGGER_MS);
      void run(state);
    } else if (running === 0) resolve(last);
  }

  proceed();
  return promise.finally(() => {
    clearTimeout(timer);
    stop.abort();
  });
}

function isGood(answer: Buffer): boolean {
  return answer.length >= HEADER_BYTES && rcodeOf(answer) !== RCODE.SERVFAIL && rcodeOf(answer) !== RCODE.REFUSED;
}
