import { type Dispatcher, Pool } from "undici";
import { ReadError } from "../../src/errors.ts";

/** An answer as it came. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** What to send to `POST /v1/Discover`. */
export interface RawRequest {
  readonly body: string;
  readonly token: string;
  /** A longer answer is refused. */
  readonly maxBytes: number;
  readonly timeoutMs: number;
}

/** Connections to one server, kept open between requests. */
export interface Exchange {
  /**
   * @throws {ReadError} When there is no whole answer in time; its cause is the system's error.
   * @throws The signal's reason when `signal` aborts.
   */
  post(request: RawRequest, signal: AbortSignal): Promise<RawAnswer>;
  close(): void;
}

/** How connections are made. */
export interface ExchangeOptions {
  readonly connections: number;
  readonly timeoutMs: number;
  readonly tls: { readonly ca?: string; readonly servername?: string };
}

const KEEP_ALIVE_MS = 60_000;

/** HTTP/1.1 to the server at `address`, which may have a path. Nothing is opened before the first request. */
export function exchange(address: string, { connections, timeoutMs, tls }: ExchangeOptions): Exchange {
  const url = new URL(address);
  const path = `${url.pathname.replace(/\/$/, "")}/v1/Discover`;
  // Time limits are this module's own: a body that trickles would never end otherwise.
  const pool = new Pool(url.origin, {
    connections,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { ...tls, timeout: timeoutMs },
  });
  return {
    post: (request, signal) => post(pool, path, request, signal),
    close: () => void pool.destroy().catch(() => undefined),
  };
}

function post(
  pool: Pool,
  path: string,
  { body, token, maxBytes, timeoutMs }: RawRequest,
  signal: AbortSignal,
): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  let controller: Dispatcher.DispatchController | undefined;
  let isOver = false;
  let answer: Pick<RawAnswer, "status" | "headers"> | undefined;
  const chunks: Buffer[] = [];
  let length = 0;

  function end(failure?: unknown): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    if (failure !== undefined) reject(failure);
    else resolve({ status: answer?.status ?? 0, headers: answer?.headers ?? {}, body: whole(chunks, length) });
  }
  function stop(failure: unknown): void {
    end(failure);
    controller?.abort(new Error("given up"));
  }
  const onAbort = () => stop(signal.reason);
  const timer = setTimeout(
    () => stop(new ReadError("timeout", `did not come whole within ${timeoutMs} ms`)),
    timeoutMs,
  );
  if (signal.aborted) {
    end(signal.reason);
    return promise;
  }
  signal.addEventListener("abort", onAbort);

  pool.dispatch(
    {
      path,
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        ...(token === "" ? {} : { "x-polaris-token": token }),
      },
    },
    {
      onRequestStart(started) {
        controller = started;
        if (isOver) started.abort(new Error("given up"));
      },
      onResponseStart(_, status, headers) {
        answer = { status, headers };
      },
      onResponseData(_, chunk) {
        length += chunk.length;
        if (length > maxBytes) stop(new ReadError("answer", `is larger than ${maxBytes} bytes`));
        else chunks.push(chunk);
      },
      onResponseEnd: () => end(),
      onResponseError(_, cause) {
        end(
          answer === undefined
            ? new ReadError("connection", "did not come", { cause })
            : new ReadError("answer", "ended early", { cause }),
        );
      },
    },
  );
  return promise;
}

function whole(chunks: readonly Buffer[], length: number): Buffer {
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length);
}

/** Whether the server closed a connection that it had accepted, without an answer. */
export function wasClosed(error: unknown): boolean {
  if (!(error instanceof ReadError) || error.failure !== "connection") return false;
  const { code = "" } = (error.cause ?? {}) as { readonly code?: string };
  return ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"].includes(code);
}
