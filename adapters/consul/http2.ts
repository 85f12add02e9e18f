import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { isIP } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Credentials } from "./secrets.ts";
import { bodyParts, type RawAnswer, type RawRequest, type Transport, truncated } from "./transport.ts";

/** Consul allows 250 streams a connection; what the server says counts, up to here. */
const MAX_STREAMS = 250;
const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 8 * 1024 * 1024;
/** A connection that leaves a ping unanswered for so long is dead. */
const PING_MS = 15_000;

/** One connection and what is on it. */
interface Line {
  readonly session: ClientHttp2Session;
  readonly max: number;
  streams: number;
}

/** Connect, and say whether the server chose HTTP/2. The socket is to be used or destroyed. */
export async function dial(
  origin: string,
  tls: Credentials["tls"],
  signal: AbortSignal,
): Promise<{ readonly socket: TLSSocket; readonly isHttp2: boolean }> {
  const { hostname, port } = new URL(origin);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const name = isIP(host) === 0 ? { servername: host } : {};
  const socket = connectTls({
    host,
    port: Number(port || 443),
    ...name,
    ...tls,
    ALPNProtocols: ["h2", "http/1.1"],
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("secureConnect", resolve).once("error", reject);
  try {
    signal.throwIfAborted();
    await promise;
  } catch (error) {
    socket.on("error", () => {}).destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  return { socket, isHttp2: socket.alpnProtocol === "h2" };
}

/** HTTP/2 over TLS: many requests on few connections, reads apart from blocking queries. */
export function http2(origin: string, tls: Credentials["tls"], first: TLSSocket): Transport {
  const pools = { read: linePool(origin, tls, first), watch: linePool(origin, tls) };
  const base = new URL(origin).pathname.replace(/\/$/, "");
  return {
    async get(request) {
      const pool = request.use === "watch" ? pools.watch : pools.read;
      const line = await pool.take(request.signal);
      try {
        return await exchange(line.session, base, request);
      } finally {
        pool.release(line);
      }
    },
    close() {
      pools.read.close();
      pools.watch.close();
    },
  };
}

/** A request that has no connection yet. */
interface Waiter {
  readonly resolve: (line: Line) => void;
  readonly reject: (error: unknown) => void;
}

function linePool(origin: string, tls: Credentials["tls"], first?: TLSSocket) {
  const lines = new Set<Line>();
  const waiting = new Set<Waiter>();
  const end = new AbortController();
  let ready = first;
  let isOpening = false;

  async function take(signal: AbortSignal): Promise<Line> {
    signal.throwIfAborted();
    end.signal.throwIfAborted();
    const free = freeLine();
    if (free !== undefined && waiting.size === 0) return occupied(free);
    const { promise, resolve, reject } = Promise.withResolvers<Line>();
    const waiter = { resolve, reject };
    const onAbort = () => {
      waiting.delete(waiter);
      reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    waiting.add(waiter);
    void serve();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  function freeLine(): Line | undefined {
    for (const line of lines) if (line.streams < line.max && !line.session.closed) return line;
    return undefined;
  }

  function occupied(line: Line): Line {
    if (line.streams++ === 0) line.session.ref();
    return line;
  }

  /** An idle connection does not keep the process alive. */
  function release(line: Line): void {
    if (--line.streams === 0 && !line.session.destroyed) line.session.unref();
    void serve();
  }

  /** Give free places to who waits, in turn, and open a connection for the rest. */
  async function serve(): Promise<void> {
    for (const waiter of waiting) {
      const free = freeLine();
      if (free === undefined) break;
      waiting.delete(waiter);
      waiter.resolve(occupied(free));
    }
    if (waiting.size === 0 || isOpening) return;
    isOpening = true;
    try {
      await open();
    } catch (error) {
      for (const waiter of waiting) waiter.reject(error);
      waiting.clear();
    } finally {
      isOpening = false;
    }
    void serve();
  }

  async function open(): Promise<void> {
    const { signal } = end;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(PING_MS)]);
    const socket = ready ?? (await dial(origin, tls, limited)).socket;
    ready = undefined;
    const line = await newLine(origin, socket);
    if (signal.aborted) return line.session.destroy();
    lines.add(line);
    line.session.once("close", () => lines.delete(line)).once("goaway", () => lines.delete(line));
  }

  function close(): void {
    end.abort(new Error("the connection is no longer wanted"));
    ready?.destroy();
    for (const { session } of lines) session.destroy();
  }

  return { take, release, close };
}

async function newLine(origin: string, socket: TLSSocket): Promise<Line> {
  const session = connectHttp2(origin, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: STREAM_WINDOW },
    maxSessionMemory: 64,
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  session.once("remoteSettings", ({ maxConcurrentStreams }) => resolve(maxConcurrentStreams ?? MAX_STREAMS));
  session.once("error", reject).once("close", () => reject(new Error("the connection was closed")));
  // A server that turns the client's certificate down says so only now, and then the session never tells.
  socket.once("error", reject);
  const timer = setTimeout(() => reject(new Error("the connection is dead")), PING_MS);
  try {
    const max = Math.max(1, Math.min(await promise, MAX_STREAMS));
    session.setLocalWindowSize(SESSION_WINDOW);
    keepChecking(session);
    session.unref();
    return { session, max, streams: 0 };
  } catch (error) {
    session.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** A connection whose other end is gone says nothing: blocking queries on it would wait for nothing. */
function keepChecking(session: ClientHttp2Session): void {
  let answered = true;
  const timer = setInterval(() => {
    if (!answered) session.destroy(new Error("the connection is dead"));
    else if (!session.destroyed) {
      answered = false;
      session.ping(() => {
        answered = true;
      });
    }
  }, PING_MS).unref();
  session.on("error", () => {}); // the requests on it say so
  session.once("close", () => clearInterval(timer));
}

async function exchange(session: ClientHttp2Session, base: string, request: RawRequest): Promise<RawAnswer> {
  const { signal, path, headers, maxBytes } = request;
  const stream: ClientHttp2Stream = session.request({ ":method": "GET", ":path": `${base}${path}`, ...headers });
  const parts = bodyParts(maxBytes);
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  let answer: Omit<RawAnswer, "body"> | undefined;
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  stream.on("response", (head) => {
    answer = { status: Number(head[":status"]), headers: head };
  });
  stream.on("data", (chunk: Buffer) => attempt(() => parts.add(chunk), reject));
  stream.on("end", () =>
    attempt(() => {
      if (answer === undefined || stream.rstCode !== 0) throw truncated();
      resolve({ ...answer, body: parts.whole(answer.headers["content-length"]) });
    }, reject),
  );
  stream.on("error", (cause) => reject(answer === undefined ? cause : truncated(cause)));
  stream.on("close", () => reject(answer === undefined ? new Error("the connection was closed") : truncated()));
  try {
    signal.throwIfAborted();
    return await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (!stream.closed) stream.close();
  }
}

function attempt(action: () => void, reject: (error: unknown) => void): void {
  try {
    action();
  } catch (error) {
    reject(error);
  }
}
