import { type Dispatcher, Pool } from "undici";
import { ReadError } from "../../../src/errors.ts";
import type { AnswerBody } from "../../answer-body.ts";

/** An answer as it came, besides its body. */
export interface Head {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** What to send to `POST /v1/Discover`. */
export interface RawRequest {
  readonly body: string;
  readonly token: string;
  /** Takes the answer's body in. */
  readonly into: AnswerBody;
  readonly timeoutMs: number;
}

/** Connections to one server, kept open between requests. */
export interface Exchange {
  /**
   * Resolves when the answer has come to its end.
   *
   * @throws {ReadError} When it does not in time, or its body is refused; its cause is the system's error.
   * @throws The signal's reason when `signal` aborts.
   */
  post(request: RawRequest, signal: AbortSignal): Promise<Head>;
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
  { body, token, into, timeoutMs }: RawRequest,
  signal: AbortSignal,
): Promise<Head> {
  const { promise, resolve, reject } = Promise.withResolvers<Head>();
  let controller: Dispatcher.DispatchController | undefined;
  let isOver = false;
  let head: Head | undefined;

  function end(failure?: unknown): void {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    if (failure !== undefined) reject(failure);
    else resolve(head ?? { status: 0, headers: {} });
  }
  function stop(failure: unknown): void {
    end(failure);
    controller?.abort(new Error("given up"));
  }
  function attempt(action: () => void): void {
    try {
      action();
    } catch (failure) {
      stop(failure);
    }
  }
  const onAbort = () => stop(signal.reason);
  const timer = setTimeout(() => stop(new ReadError("timeout", `was not complete within ${timeoutMs} ms`)), timeoutMs);
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
        head = { status, headers };
        attempt(() => into.begin(status, headers));
      },
      onResponseData: (_, chunk) => attempt(() => into.add(chunk)),
      onResponseEnd: () => end(),
      onResponseError(_, cause) {
        end(
          head === undefined
            ? new ReadError("connection", "did not come", { cause })
            : new ReadError("answer", "ended early", { cause }),
        );
      },
    },
  );
  return promise;
}

/** Whether the server closed a connection that it had accepted, without an answer. */
export function wasClosed(error: unknown): boolean {
  if (!(error instanceof ReadError) || error.failure !== "connection") return false;
  const { code = "" } = (error.cause ?? {}) as { readonly code?: string };
  return ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"].includes(code);
}
