import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Access } from "./access.ts";
import { type Handling, handle } from "./handle.ts";
import { type Connections, connections } from "./limits/connections.ts";
import { perClient } from "./limits/per-client.ts";
import { type Sending, sending } from "./limits/sending.ts";
import { sharedReplies } from "./limits/shared-replies.ts";
import type { Reply } from "./reply.ts";
import type { StatusSource } from "./routes.ts";
import type { ServerTls, TlsPair } from "./tls.ts";

/** How to serve HTTP. */
export interface HttpServerOptions {
  /** An IP address; port 0 lets the system choose. */
  readonly listen: { readonly address: string; readonly port: number };
  readonly source: StatusSource;
  /** Who may read from other machines; everyone if left out. */
  readonly access?: Access | undefined;
  /** HTTPS by this, and no HTTP. */
  readonly tls?: ServerTls | undefined;
  /** Told when an answer could not be made; the client gets 500 without details. */
  readonly onError?: (error: unknown) => void;
}

/** A server that listens. */
export interface HttpServer {
  readonly address: string;
  readonly port: number;
  /** Stop listening at once; resolves when the answers in flight have gone out, after 0.8 s at the latest. */
  stop(): Promise<void>;
}

const STOP_MS = 800;
/** Connections that the system keeps until they are taken; of those beyond, a probe would come again after a second. */
const BACKLOG = 4096;
const LIMITS = {
  maxHeaderSize: 8192,
  headersTimeout: 5000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  connectionsCheckingInterval: 1000,
};
/** Descriptors and memory for connections; one takes some 30 KB, more if its client is slow. */
const CONNECTIONS = { total: 1024, perClient: 128 };
/** Requests that wait for another state of the names. */
const MOST_WAITING = 64;
/** A client that takes its answer more slowly has lost it. */
const SEND_MS = 30_000;
/** Answers that slow clients keep in memory. */
const MOST_SENDING_BYTES = 64 * 2 ** 20;

/**
 * Serve health, metrics and the read-only API.
 *
 * @throws When the address cannot be bound; the message says what to do.
 */
export async function httpServer({ listen, source, access, tls, onError }: HttpServerOptions): Promise<HttpServer> {
  const stopping = new AbortController();
  const held = connections(CONNECTIONS);
  const sent = sending(MOST_SENDING_BYTES);
  const handling: Handling = {
    ...{ source, access, onError },
    isLoopback: isLoopback(listen.address),
    shared: sharedReplies(),
    waiting: perClient(MOST_WAITING),
  };
  const { server, close } = tls === undefined ? { server: createServer(LIMITS) } : tlsServer(tls);
  server.timeout = SEND_MS;
  server.on("connection", (socket) => held.add(socket));
  server.on("request", (request, response) => {
    const answered = held.ask(request.socket);
    if (answered === undefined) {
      request.socket.destroy();
      return;
    }
    const gone = new AbortController();
    response.on("close", () => {
      answered();
      gone.abort();
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
    });
    void handle(request, handling, AbortSignal.any([gone.signal, stopping.signal])).then((reply) =>
      send(request, response, reply, { isLast: !server.listening, sent }),
    );
  });
  await bind(server, listen);
  server.on("error", (error) => onError?.(error)); // out of file descriptors: later connections may come through
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : listen.port;
  return {
    address: listen.address,
    port,
    stop() {
      stopping.abort();
      close?.();
      return stop(server, held);
    },
  };
}

/** A server of HTTPS; its certificate is followed until it is closed. */
function tlsServer(tls: ServerTls): { readonly server: Server; readonly close: () => void } {
  const server = createTlsServer({ ...LIMITS, ...pairOf(tls.first), handshakeTimeout: LIMITS.headersTimeout });
  return { server, close: tls.follow((pair) => server.setSecureContext(pairOf(pair))) };
}

function pairOf({ cert, key }: TlsPair): TlsPair {
  return { cert, key };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, body, allow, etag, encoding, authenticate, retryAfterSeconds, headers }: Reply,
  { isLast, sent }: { readonly isLast: boolean; readonly sent: Sending },
): void {
  if (response.destroyed) return;
  const end = () => request.socket.destroy();
  const timer = setTimeout(end, SEND_MS);
  const done = typeof body === "string" ? undefined : sent.start(body, end);
  response.on("close", () => {
    clearTimeout(timer);
    done?.();
  });
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": etag === undefined ? "no-store" : "no-cache",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    ...(allow === undefined ? {} : { allow }),
    ...(etag === undefined ? {} : { etag, vary: "accept-encoding" }),
    ...(encoding === undefined ? {} : { "content-encoding": encoding }),
    ...(authenticate === undefined ? {} : { "www-authenticate": authenticate }),
    ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
    ...headers,
    // What is left of a request that was refused is not waited for.
    ...(isLast || !request.complete ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

function bind(server: Server, { address, port }: HttpServerOptions["listen"]): Promise<void> {
  const place = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(new Error(`Cannot serve HTTP on ${place}: ${adviceFor(cause.code)}`, { cause })),
    );
    server.listen({ host: address, port, backlog: BACKLOG, ipv6Only: address !== "::" }, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

function adviceFor(code: string | undefined): string {
  if (code === "EADDRINUSE") return "another process has that port; stop it or set http.listen to a free one";
  if (code === "EACCES") return "this user may not bind that port; set http.listen to one above 1023";
  if (code === "EADDRNOTAVAIL") return "this machine does not have that address; set http.listen to one it has";
  return "set http.listen to an address and port that can be bound";
}

function stop(server: Server, held: Connections): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => held.end(), STOP_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
