/** What an answer may depend on besides method and path. */
export interface Asked {
  readonly ifNoneMatch?: string | undefined;
  readonly acceptEncoding?: string | undefined;
  /** Whether a process on the same machine asks, by an address of its own. */
  readonly isLocal?: boolean;
  /** The header `x2istio-confirm`. */
  readonly confirm?: string | undefined;
  /** Aborts when the client has gone or the server stops. */
  readonly signal?: AbortSignal;
}

/** One answer, whole. */
export interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly allow?: string;
  readonly etag?: string;
  /** How to prove who one is (WWW-Authenticate). */
  readonly authenticate?: string;
  readonly retryAfterSeconds?: number;
  /** Content-Encoding of `body`. */
  readonly encoding?: string;
}

/** A plain text answer; the line end is added. */
export function text(status: number, body: string): Reply {
  return { status, type: "text/plain; charset=utf-8", body: `${body}\n` };
}
