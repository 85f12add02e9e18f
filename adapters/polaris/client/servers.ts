import { backOffMs } from "../../../src/async/back-off.ts";
import type { Log } from "../../../src/log.ts";
import type { PolarisMetrics } from "../metrics.ts";

/** Wait so long before a server that failed is tried again, doubled with every failure. */
const RETRY = { firstMs: 1000, mostMs: 60_000 };
/** A probe's result is believed for so long. */
const PROBE_MS = 1000;

/** Which of several servers is asked. */
export interface Servers {
  /** Position of the server to ask now. Tries in the background whether a better one is back. */
  current(): number;
  /** The server does not answer: ask the next one. Nothing happens if it is not the current one any more. */
  demote(server: number, cause: unknown): void;
  /** Look whether a server answers at all and demote it if not; only where there is another one. */
  suspect(server: number): Promise<void>;
  /** Time of performance.now() of the last change from one to another. */
  changedAtMs(): number;
  close(): void;
}

/** What choosing servers needs. */
export interface ServersOptions {
  readonly registry: string;
  /** The best one first. */
  readonly addresses: readonly string[];
  /** @throws Why the server does not answer. */
  readonly probe: (server: number, signal: AbortSignal) => Promise<void>;
  readonly log: Log;
  readonly metrics: PolarisMetrics;
}

interface State {
  failures: number;
  /** performance.now() from which it may be tried again. */
  retryAtMs: number;
  promotedAtMs: number;
  probe: { readonly atMs: number; readonly result: Promise<boolean> } | undefined;
}

/**
 * Servers in order of preference: the first is asked as long as it answers, else the next; a better one that answers again is
 * gone back to.
 */
export function servers({ registry, addresses, probe, log, metrics }: ServersOptions): Servers {
  const states = addresses.map((): State => ({ failures: 0, retryAtMs: 0, promotedAtMs: 0, probe: undefined }));
  const closing = new AbortController();
  let active = 0;
  let changedAtMs = Number.NEGATIVE_INFINITY;

  function answers(server: number, state: State): Promise<boolean> {
    const nowMs = performance.now();
    if (state.probe !== undefined && nowMs - state.probe.atMs < PROBE_MS) return state.probe.result;
    const result = probe(server, closing.signal).then(
      () => true,
      () => false,
    );
    state.probe = { atMs: nowMs, result };
    return result;
  }

  function failed(state: State): void {
    const nowMs = performance.now();
    if (nowMs - state.promotedAtMs > RETRY.mostMs) state.failures = 0;
    state.failures++;
    state.retryAtMs = nowMs + backOffMs(state.failures, RETRY);
  }

  async function tryBetter(server: number, state: State): Promise<void> {
    state.retryAtMs = Number.POSITIVE_INFINITY; // until this try has ended
    if (!(await answers(server, state))) return failed(state);
    state.retryAtMs = 0;
    if (closing.signal.aborted || server >= active) return;
    log.info({ registry, server: addresses[server] }, "the registry's preferred server answers again");
    activate(server);
  }

  function activate(server: number): void {
    active = server;
    changedAtMs = performance.now();
    const state = states[server];
    if (state !== undefined) state.promotedAtMs = changedAtMs;
    metrics.switched();
  }

  return {
    current() {
      const nowMs = performance.now();
      for (const [server, state] of states.entries()) {
        if (server >= active) break;
        if (state.retryAtMs <= nowMs) void tryBetter(server, state);
      }
      return active;
    },
    demote(server, cause) {
      const state = states[server];
      if (addresses.length < 2 || server !== active || state === undefined) return;
      failed(state);
      activate((server + 1) % addresses.length);
      const fields = { registry, server: addresses[server], next: addresses[active], error: cause };
      log.warn(fields, "a server of the registry does not answer; the next one is asked");
    },
    async suspect(server) {
      const state = states[server];
      if (addresses.length < 2 || server !== active || state === undefined) return;
      if (!(await answers(server, state))) this.demote(server, new Error("it fails a request for a short list too"));
    },
    changedAtMs: () => changedAtMs,
    close: () => closing.abort(),
  };
}
