import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { isIP } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Credentials } from "../../credentials.ts";

/** Consul allows 250 streams a connection; what the server says counts, up to here. */
const MAX_STREAMS = 250;
const STREAM_WINDOW = 1024 * 1024;
const SESSION_WINDOW = 8 * 1024 * 1024;
/** A connection that leaves a ping unanswered for so long is dead. */
export const PING_MS = 15_000;

/** One connection and what is on it. */
export interface Line {
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

/** Speak HTTP/2 on a socket. */
export async function newLine(origin: string, socket: TLSSocket): Promise<Line> {
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
  const timer = setTimeout(() => reject(new Error("the connection is broken")), PING_MS);
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
    if (!answered) session.destroy(new Error("the connection is broken"));
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
