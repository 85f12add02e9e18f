import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP } from "node:net";
import { CONFIRM_HEADER } from "./brakes.ts";
import { type Reply, text } from "./reply.ts";
import { REPORTS_PATH } from "./reports.ts";
import { answerFor, type StatusSource } from "./routes.ts";

/** How to serve HTTP. */
export interface HttpServerOptions {
  /** An IP address; port 0 lets the system choose. */
  readonly listen: { readonly address: string; readonly port: number };
  readonly source: StatusSource;
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

/**
 * Serve health, metrics and the read-only API.
 *
 * @throws When the address cannot be bound; the message says what to do.
 */
export async function httpServer({ listen, source, onError }: HttpServerOptions): Promise<HttpServer> {
  const guarded = isLoopback(listen.address);
  const stopping = new AbortController();
  const server = createServer({
    maxHeaderSize: 8192,
    headersTimeout: 5000,
    requestTimeout: 10_000,
    keepAliveTimeout: 5000,
    connectionsCheckingInterval: 1000,
  });
  server.maxConnections = 256;
  server.timeout = 30_000; // a client that does not take its answer
  server.on("request", (request, response) => {
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, stopping.signal]);
    void handle(request, source, { guarded, onError, signal }).then((reply) =>
      send(request, response, reply, !server.listening),
    );
    response.on("close", () => {
      gone.abort();
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
    });
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
      return stop(server);
    },
  };
}

async function handle(
  request: IncomingMessage,
  source: StatusSource,
  { guarded, onError, signal }: { guarded: boolean; onError: HttpServerOptions["onError"]; signal: AbortSignal },
): Promise<Reply> {
  if (guarded && !isLocalHost(request.headers.host))
    return text(403, "On a loopback address only requests to localhost or to an IP address are answered.");
  if (source.reports !== undefined && (request.url ?? "").replace(/[?#].*/s, "") === REPORTS_PATH)
    return await source.reports(request, signal).catch((error: unknown) => failed(error, onError));
  if (request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) !== 0)
    return text(413, "A request with a body is not answered.");
  try {
    const {
      "if-none-match": ifNoneMatch,
      "accept-encoding": acceptEncoding,
      [CONFIRM_HEADER]: confirm,
    } = request.headers;
    const { remoteAddress = "" } = request.socket;
    return await answerFor(request.method, request.url, source, {
      ifNoneMatch,
      acceptEncoding: Array.isArray(acceptEncoding) ? acceptEncoding.join() : acceptEncoding,
      signal,
      isLocal: isLoopback(remoteAddress.replace(/^::ffff:/, "")) && isLocalHost(request.headers.host),
      confirm: Array.isArray(confirm) ? confirm.join() : confirm,
    });
  } catch (error) {
    return failed(error, onError);
  }
}

function failed(error: unknown, onError: HttpServerOptions["onError"]): Reply {
  onError?.(error);
  return text(500, "The answer could not be made; the log says why.");
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, body, allow, etag, encoding, authenticate, retryAfterSeconds }: Reply,
  last: boolean,
): void {
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
    ...(last || status === 413 ? { connection: "close" } : {}),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** A page elsewhere can point a name of its own at 127.0.0.1 and read us through a browser (DNS rebinding); it cannot choose the Host. */
function isLocalHost(host: string | undefined): boolean {
  if (host === undefined) return true; // HTTP/1.0: no browser
  const name = host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return name === "localhost" || isIP(name) !== 0;
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
    server.listen({ host: address, port, ipv6Only: address !== "::" }, () => {
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

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), STOP_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
