import type { TLSSocket } from "node:tls";
import type { Credentials } from "../../credentials.ts";
import { dial, type Line, newLine, PING_MS } from "./line.ts";

/** Connections to one server, as many as its limit on streams asks for. */
export interface LinePool {
  /** A connection with room for one more request. @throws When there is none to be had, or `signal` aborts. */
  take(signal: AbortSignal): Promise<Line>;
  /** A request has ended. */
  release(line: Line): void;
  /** End all connections and all requests on them. */
  close(): void;
}

/** A request that has no connection yet. */
interface Waiter {
  readonly resolve: (line: Line) => void;
  readonly reject: (error: unknown) => void;
}

interface State {
  readonly origin: string;
  readonly tls: Credentials["tls"];
  readonly lines: Set<Line>;
  /** In turn. */
  readonly waiting: Set<Waiter>;
  readonly end: AbortController;
  /** A connection that was made before there was a pool. */
  ready: TLSSocket | undefined;
  isOpening: boolean;
}

/** A pool that opens connections as they are needed; `first` is one that stands already. */
export function linePool(origin: string, tls: Credentials["tls"], first?: TLSSocket): LinePool {
  const state: State = {
    origin,
    tls,
    lines: new Set(),
    waiting: new Set(),
    end: new AbortController(),
    ready: first,
    isOpening: false,
  };
  return {
    take: (signal) => take(state, signal),
    release: (line) => release(state, line),
    close: () => close(state),
  };
}

async function take(state: State, signal: AbortSignal): Promise<Line> {
  const { waiting } = state;
  signal.throwIfAborted();
  state.end.signal.throwIfAborted();
  const free = freeLine(state);
  if (free !== undefined && waiting.size === 0) return occupied(free);
  const { promise, resolve, reject } = Promise.withResolvers<Line>();
  const waiter = { resolve, reject };
  const onAbort = () => {
    waiting.delete(waiter);
    reject(signal.reason);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  waiting.add(waiter);
  void serve(state);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function freeLine({ lines }: State): Line | undefined {
  for (const line of lines) if (line.streams < line.max && !line.session.closed) return line;
  return undefined;
}

function occupied(line: Line): Line {
  if (line.streams++ === 0) line.session.ref();
  return line;
}

/** An idle connection does not keep the process alive. */
function release(state: State, line: Line): void {
  if (--line.streams === 0 && !line.session.destroyed) line.session.unref();
  void serve(state);
}

/** Give free places to who waits, in turn, and open a connection for the rest. */
async function serve(state: State): Promise<void> {
  const { waiting } = state;
  for (const waiter of waiting) {
    const free = freeLine(state);
    if (free === undefined) break;
    waiting.delete(waiter);
    waiter.resolve(occupied(free));
  }
  if (waiting.size === 0 || state.isOpening) return;
  state.isOpening = true;
  try {
    await open(state);
  } catch (error) {
    for (const waiter of waiting) waiter.reject(error);
    waiting.clear();
  } finally {
    state.isOpening = false;
  }
  void serve(state);
}

async function open(state: State): Promise<void> {
  const { origin, tls, lines } = state;
  const { signal } = state.end;
  const limited = AbortSignal.any([signal, AbortSignal.timeout(PING_MS)]);
  const socket = state.ready ?? (await dial(origin, tls, limited)).socket;
  state.ready = undefined;
  const line = await newLine(origin, socket);
  if (signal.aborted) return line.session.destroy();
  lines.add(line);
  line.session.once("close", () => lines.delete(line)).once("goaway", () => lines.delete(line));
}

function close({ end, ready, lines }: State): void {
  end.abort(new Error("the connection is no longer wanted"));
  ready?.destroy();
  for (const { session } of lines) session.destroy();
}
