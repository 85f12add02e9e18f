import { type Dispatcher, request as httpRequest } from "undici";
import { type Access, type CredentialOptions, type Credentials, loadCredentials } from "./credentials.ts";
import { KubeStatusError, TooLargeError } from "./kube-error.ts";
import { type ServerClock, serverClock } from "./server-clock.ts";

/** Who wrote which field: every write names this manager unless it says otherwise. */
export const FIELD_MANAGER = "x2istio";
/** Writes give up after this long, so that one ends before a Lease can pass to another. */
export const WRITE_TIMEOUT_MS = 4000;
/** Reads of one object, and pages of lists. */
export const READ_TIMEOUT_MS = 30_000;
/** RFC 7396. */
const MERGE_PATCH = "application/merge-patch+json";

/**
 * One connection per request under way: with HTTP/2 a dead connection holds up the Lease and all watches for a minute.
 * Known to undici's Agent, though its types lack it.
 */
const HTTP1: object = { allowH2: false };

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** What a write is for. */
export type KubeOperation = "create" | "update" | "delete" | "ledger" | "event" | "lease" | "demand";

/** One request to the API server. */
export interface KubeRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With query, without host. */
  readonly path: string;
  /** For messages, reads on from "Cannot": `patch ServiceEntry mesh-services/x`. */
  readonly action: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** `application/json`, or for PATCH a merge patch. */
  readonly contentType?: string;
  /** Set on writes that are to be counted. */
  readonly operation?: KubeOperation;
  /** Default 30 s for GET, 4 s for all else. */
  readonly timeoutMs?: number;
  readonly maxBytes?: number;
  /** Default `x2istio`. */
  readonly fieldManager?: string;
  /** Ends the request; what became of a write is then unknown. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link kubeClient}. */
export interface KubeClientOptions extends CredentialOptions {
  readonly userAgent: string;
  /** Told what became of each request that names an operation, for metrics. */
  readonly onWrite?: (operation: KubeOperation, result: "ok" | "failed") => void;
}

/** A lean client of one API server: JSON in and out, connections kept open. */
export interface KubeClient {
  /** Base URL without trailing slash. */
  readonly server: string;
  /** The kubeconfig context's namespace, if it names one. */
  readonly namespace: string | undefined;
  /**
   * Send one request and give back its parsed answer.
   *
   * @throws {KubeStatusError} When the answer is an error.
   * @throws {TooLargeError} When it exceeds `maxBytes`.
   * @throws When none came in time.
   */
  request(request: KubeRequest): Promise<unknown>;
  /**
   * Open a watch; resolves once the server has accepted it. The stream ends when `signal` aborts.
   *
   * @throws {KubeStatusError} When it is refused.
   */
  watch(path: string, action: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Milliseconds since the epoch by the API server's clock; by this machine's until the first answer. */
  nowMs(): number;
  /** Drop all connections. */
  close(): Promise<void>;
}

/**
 * Connect to the API server that a kubeconfig or the pod's service account names. Sends nothing yet.
 *
 * The generated client of @kubernetes/client-node is not used, as it costs more per write than the write itself;
 * its loading of kubeconfigs and its authentication are.
 *
 * @throws {ConfigError} When there is no usable kubeconfig.
 */
export async function kubeClient(options: KubeClientOptions): Promise<KubeClient> {
  const credentials = await loadCredentials(options);
  const clock = serverClock();
  const connection: Connection = { credentials, clock, userAgent: options.userAgent };
  return {
    server: credentials.server,
    namespace: credentials.namespace,
    async request(request) {
      const timeoutMs = request.timeoutMs ?? (request.method === "GET" ? READ_TIMEOUT_MS : WRITE_TIMEOUT_MS);
      return await within(timeoutMs, request, (signal) => exchange(connection, request, signal, options.onWrite));
    },
    async watch(path, action, signal) {
      const request: KubeRequest = { method: "GET", path, action, signal };
      // The time limit is for the start only: after it the caller watches for stalls.
      const answer = await within(READ_TIMEOUT_MS, request, (started) =>
        sendAuthorised(connection, request, null, AbortSignal.any([signal, started])),
      );
      if (answer.statusCode === 200) return answer.body;
      throw statusError(action, answer, parse(await readText(answer, MAX_ANSWER_BYTES, action), answer));
    },
    nowMs: clock.nowMs,
    close: () => credentials.close(),
  };
}

/** What a request is sent by. Credentials are renewed, and the clock is set, as requests are answered. */
interface Connection {
  readonly credentials: Credentials;
  readonly clock: ServerClock;
  readonly userAgent: string;
}

/** Send, read the answer whole, and count a write. */
async function exchange(
  connection: Connection,
  request: KubeRequest,
  signal: AbortSignal,
  onWrite: KubeClientOptions["onWrite"],
): Promise<unknown> {
  const { action, operation, maxBytes = MAX_ANSWER_BYTES } = request;
  let result: "ok" | "failed" = "failed";
  try {
    const body = request.body === undefined ? null : JSON.stringify(request.body);
    const answer = await sendAuthorised(connection, request, body, signal);
    const parsed = parse(await readText(answer, maxBytes, action), answer);
    if (answer.statusCode >= 300) throw statusError(action, answer, parsed);
    result = "ok";
    return parsed;
  } finally {
    if (operation !== undefined) onWrite?.(operation, result);
  }
}

/** Send, and once more with new credentials if these were refused: a token may have been rotated. */
async function sendAuthorised(
  connection: Connection,
  request: KubeRequest,
  body: string | null,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const { credentials } = connection;
  const access = credentials.current() ?? (await credentials.refresh());
  const answer = await send(connection, access, request, body, signal);
  if (answer.statusCode !== 401) return answer;
  await answer.body.dump();
  return send(connection, await credentials.refresh(), request, body, signal);
}

async function send(
  { credentials, clock, userAgent }: Connection,
  access: Access,
  request: KubeRequest,
  body: string | null,
  signal: AbortSignal,
): Promise<Dispatcher.ResponseData> {
  const answer = await httpRequest(credentials.server + pathOf(request), {
    method: request.method,
    dispatcher: access.dispatcher,
    headers: headersOf(access, request, body, userAgent),
    body,
    signal,
    headersTimeout: 0, // the caller's timer bounds the whole
    bodyTimeout: 0,
    reset: false, // undici would close the connection after a DELETE with a body
    ...HTTP1,
  });
  clock.observe(answer.headers.date as string | undefined);
  return answer;
}

/** Run `task`, and end it when the time is up or the request's own signal aborts. */
async function within<T>(
  timeoutMs: number,
  request: KubeRequest,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  request.signal?.throwIfAborted();
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  const stop = () => control.abort(request.signal?.reason);
  request.signal?.addEventListener("abort", stop, { once: true });
  try {
    return await task(control.signal);
  } catch (cause) {
    request.signal?.throwIfAborted();
    if (cause instanceof KubeStatusError || cause instanceof TooLargeError) throw cause;
    throw new Error(`Cannot ${request.action}`, { cause });
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", stop);
  }
}

function pathOf({ method, path, fieldManager = FIELD_MANAGER }: KubeRequest): string {
  if (method === "GET" || method === "DELETE") return path;
  return `${path}${path.includes("?") ? "&" : "?"}fieldManager=${fieldManager}`;
}

function headersOf(
  access: Access,
  request: KubeRequest,
  body: string | null,
  userAgent: string,
): Record<string, string> {
  const headers: Record<string, string> = { ...access.headers, accept: "application/json", "user-agent": userAgent };
  if (body !== null)
    headers["content-type"] = request.contentType ?? (request.method === "PATCH" ? MERGE_PATCH : "application/json");
  return headers;
}

async function readText(answer: Dispatcher.ResponseData, maxBytes: number, action: string): Promise<string> {
  const length = Number(answer.headers["content-length"]);
  if (length <= maxBytes) return await answer.body.text();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the stream.
    if (bytes > maxBytes) throw new TooLargeError(`Cannot ${action}: the answer must not exceed ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function parse(text: string, { headers }: Dispatcher.ResponseData): unknown {
  if (!String(headers["content-type"]).includes("json")) return text;
  return JSON.parse(text);
}

function statusError(action: string, { statusCode, headers }: Dispatcher.ResponseData, body: unknown): KubeStatusError {
  return new KubeStatusError(action, statusCode, body, headers["retry-after"]);
}
