import { ReadError, type ReadFailure } from "../../src/errors.ts";
import { http1 } from "./http1.ts";
import { dial, http2 } from "./http2.ts";
import type { ConsulMetrics } from "./metrics.ts";
import type { ConsulOptions } from "./options.ts";
import { type Credentials, credentials } from "./secrets.ts";
import type { RawAnswer, Transport } from "./transport.ts";

/** A good answer of Consul. */
export interface Answer {
  readonly body: Buffer;
  /** X-Consul-Index; 0 when there is none that can be waited on. */
  readonly index: number;
  /** Something was taken out of it, as the token may not read it. */
  readonly filtered: boolean;
}

/** What to get, besides the path. */
export interface Query {
  readonly dc: string | undefined;
  /** Further parameters. */
  readonly params?: Readonly<Record<string, string>>;
  /** A blocking query: answer when the index differs from this one, at the latest after the time of option `wait`. */
  readonly index?: number;
  readonly maxBytes?: number;
  /** Have the leader make sure that it is one, and that it knows all that it once said; not with consistency `stale`. */
  readonly isSure?: boolean;
  /** Only the index is wanted. */
  readonly isProbe?: true;
}

/** The one way to Consul. */
export interface ConsulClient {
  /** @throws {ReadError} When there is no good answer; or when `signal` aborts. */
  get(path: string, query: Query, signal: AbortSignal): Promise<Answer>;
  /** Whether many blocking queries share a connection. Known after the first answer. */
  isMultiplexed(): boolean;
  /** Differs when the token does, and says nothing of it. */
  identity(): number;
  close(): void;
}

const MAX_BYTES = 32 * 1024 * 1024;
const MOST_TEXT = 160;

interface Open {
  readonly transport: Transport;
  readonly isMultiplexed: boolean;
  readonly tlsVersion: string;
}

/** Talk to the Consul of the options. Nothing is opened before the first request. */
export function consulClient(options: ConsulOptions, dir: string, metrics: ConsulMetrics): ConsulClient {
  const currentCredentials = credentials(options, dir);
  const { maxConnections, timeout, wait, consistency } = options;
  let open: Open | undefined;
  let opening: Promise<Open> | undefined;
  let closed = false;
  let token: string | undefined;
  let tokens = 0;

  async function opened(now: Credentials): Promise<Open> {
    if (open !== undefined && open.tlsVersion === now.tlsVersion) return open;
    opening ??= openTransport(options, now).finally(() => {
      opening = undefined;
    });
    const next = await opening;
    if (open !== next) open?.transport.close();
    open = next;
    if (closed) next.transport.close();
    return next;
  }

  async function send(path: string, query: Query, stale: boolean, signal: AbortSignal): Promise<RawAnswer> {
    signal.throwIfAborted();
    const limitMs = timeout + (query.index === undefined ? 0 : wait + wait / 16);
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(new ReadError("timeout", `gave no answer within ${limitMs} ms`)), limitMs);
    const onAbort = () => end.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const now = await currentCredentials();
      if (now.headers["x-consul-token"] !== token) {
        token = now.headers["x-consul-token"];
        tokens++;
      }
      const { transport } = await opened(now);
      return await transport.get({
        path: `${path}${parameters(query, { stale, consistent: !stale && (consistency === "consistent" || query.isSure === true), wait })}`,
        headers: now.headers,
        use: query.index !== undefined ? "watch" : query.isProbe === true ? "probe" : "read",
        maxBytes: query.maxBytes ?? MAX_BYTES,
        signal: end.signal,
      });
    } catch (cause) {
      throw end.signal.aborted ? end.signal.reason : cause;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async function get(path: string, query: Query, signal: AbortSignal): Promise<Answer> {
    try {
      const stale = consistency === "stale";
      const first = await again(() => send(path, query, stale, signal), query, signal);
      const isOld = stale && Number(first.headers["x-consul-lastcontact"] ?? 0) > options.maxStale;
      const answer = judged(isOld ? await send(path, { ...query }, false, signal) : first);
      metrics.requested("ok");
      return answer;
    } catch (cause) {
      signal.throwIfAborted();
      const error = asReadError(path, query.dc, cause);
      metrics.requested(error.failure);
      throw error;
    }
  }

  return {
    get,
    identity: () => tokens,
    isMultiplexed: () => open?.isMultiplexed === true,
    close() {
      closed = true;
      open?.transport.close();
    },
  };

  async function openTransport({ address }: ConsulOptions, { tls, tlsVersion }: Credentials): Promise<Open> {
    const socketPath = address.startsWith("unix://") ? address.slice("unix://".length) : undefined;
    const origin = socketPath === undefined ? address.replace(/\/$/, "") : "http://localhost";
    const place = { origin, ...(socketPath === undefined ? {} : { socketPath }) };
    if (origin.startsWith("https:")) {
      const { socket, isHttp2 } = await dial(origin, tls, AbortSignal.timeout(timeout));
      if (isHttp2) return { transport: http2(origin, tls, socket), isMultiplexed: true, tlsVersion };
      socket.destroy();
    }
    return { transport: http1(place, tls, maxConnections), isMultiplexed: false, tlsVersion };
  }
}

/** Try a read once more when its connection was kept from before and the other end has closed it meanwhile. */
async function again(send: () => Promise<RawAnswer>, { index }: Query, signal: AbortSignal): Promise<RawAnswer> {
  try {
    return await send();
  } catch (error) {
    const { code = "", message = "" } = error as NodeJS.ErrnoException;
    const wasClosed =
      ["ECONNRESET", "EPIPE", "ERR_HTTP2_INVALID_SESSION", "UND_ERR_SOCKET"].includes(code) ||
      message.includes("was closed");
    if (signal.aborted || index !== undefined || error instanceof ReadError || !wasClosed) throw error;
    return send();
  }
}

function parameters(
  { dc, params = {}, index }: Query,
  { stale, consistent, wait }: { readonly stale: boolean; readonly consistent: boolean; readonly wait: number },
): string {
  const all = [
    ...(dc === undefined ? [] : [`dc=${encodeURIComponent(dc)}`]),
    ...(stale ? ["stale"] : []),
    ...(consistent ? ["consistent"] : []),
    ...Object.entries(params).map(([name, value]) => `${name}=${encodeURIComponent(value)}`),
    // Not all wait equally long, so that they do not all come back at once.
    ...(index === undefined ? [] : [`index=${index}`, `wait=${Math.ceil(wait * (0.9 + Math.random() / 10))}ms`]),
  ];
  return all.length === 0 ? "" : `?${all.join("&")}`;
}

function judged({ status, headers, body }: RawAnswer): Answer {
  if (status !== 200) {
    const text = body
      .toString("utf8", 0, 4 * MOST_TEXT)
      .replace(/[\p{C}\s]+/gu, " ")
      .trim()
      .slice(0, MOST_TEXT);
    throw new ReadError(failureOf(status), `answered ${status}${text === "" ? "" : `: ${text}`}`);
  }
  const index = Number(headers["x-consul-index"]);
  return {
    body,
    index: Number.isSafeInteger(index) && index >= 1 ? index : 0,
    filtered: headers["x-consul-results-filtered-by-acls"] === "true",
  };
}

function failureOf(status: number): ReadFailure {
  if (status === 401 || status === 403) return "denied";
  return status === 429 || status >= 500 ? "server" : "answer";
}

function asReadError(path: string, dc: string | undefined, cause: unknown): ReadError {
  const what = `GET ${path}${dc === undefined ? "" : ` in ${dc}`}`;
  if (!(cause instanceof ReadError)) return new ReadError("connection", what, { cause });
  const joint = /^(answered|gave)/.test(cause.message) ? " " : ": ";
  return new ReadError(cause.failure, `${what}${joint}${cause.message}`, { cause: cause.cause });
}
