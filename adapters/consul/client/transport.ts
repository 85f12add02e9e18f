import { ReadError } from "../../../src/errors.ts";
import type { AnswerBody } from "../../answer-body.ts";

/** What came back besides the body, whatever its status. */
export interface Head {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** Where Consul is: `origin` is its URL, with the path of a proxy before it. */
export interface Place {
  readonly origin: string;
  readonly socketPath?: string;
}

/** What a request is for: to read, or to wait for a change. One kind never takes another's place. */
export type Use = "read" | "watch";

/** One GET. */
export interface RawRequest {
  readonly path: string;
  /** Parameters; a flag has an empty value. */
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly use: Use;
  /** Takes the body in. */
  readonly body: AnswerBody;
  readonly signal: AbortSignal;
}

/** Many GETs of which only X-Consul-Index is wanted. */
export type IndexRequest = Pick<RawRequest, "query" | "headers" | "signal">;

/** Sends requests over one kind of connection. */
export interface Transport {
  /** Resolves when the body has come to its end. @throws When it does not, or `body` refuses it, or `signal` aborts. */
  get(request: RawRequest): Promise<Head>;
  /**
   * The indexes of what is at these paths, one each; only where blocking queries do not share connections.
   *
   * @throws When one of them has no good answer, or `signal` aborts.
   */
  indexes?(paths: readonly string[], request: IndexRequest): Promise<readonly number[]>;
  /** End all connections and all requests on them. */
  close(): void;
}

/** Path and query as they stand in the request line; `base` is the path of a proxy before Consul. */
export function targetOf({ path, query }: Pick<RawRequest, "path" | "query">, base: string): string {
  const parts = Object.entries(query).map(([name, value]) =>
    value === "" ? name : `${name}=${encodeURIComponent(value)}`,
  );
  return `${base}${path}${parts.length === 0 ? "" : `?${parts.join("&")}`}`;
}

/** The path of the proxy that an origin may have, without the last slash. */
export function basePath(origin: string): string {
  return new URL(origin).pathname.replace(/\/$/, "");
}

/** An answer broke off. */
export function truncated(cause?: unknown): ReadError {
  return new ReadError("answer", "ended early", { cause });
}
