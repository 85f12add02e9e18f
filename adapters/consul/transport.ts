import { ReadError } from "../../src/errors.ts";

/** What came back, whatever its status. */
export interface RawAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** Where Consul is: `origin` is its URL, with the path of a proxy before it. */
export interface Place {
  readonly origin: string;
  readonly socketPath?: string;
}

/** What a request is for: to read, to look at an index, or to wait for a change. One kind never takes another's place. */
export type Use = "read" | "probe" | "watch";

/** One GET. */
export interface RawRequest {
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly use: Use;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Sends requests over one kind of connection. */
export interface Transport {
  /** @throws When no whole answer comes, it is too large, or `signal` aborts. */
  get(request: RawRequest): Promise<RawAnswer>;
  /** End all connections and all requests on them. */
  close(): void;
}

/** Gathers a body up to a limit. */
export interface BodyParts {
  /** @throws When the body is larger than it may be. */
  add(chunk: Buffer): void;
  /** @throws When bytes are missing that the header promised. */
  whole(contentLength: unknown): Buffer;
}

/** Gather the body of one answer. */
export function bodyParts(maxBytes: number): BodyParts {
  const chunks: Buffer[] = [];
  let length = 0;
  return {
    add(chunk) {
      length += chunk.length;
      if (length > maxBytes) throw new ReadError("answer", `the answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    },
    whole(contentLength) {
      if (contentLength !== undefined && Number(contentLength) !== length) throw truncated();
      return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length);
    },
  };
}

export function truncated(cause?: unknown): ReadError {
  return new ReadError("answer", "the answer ended early", { cause });
}
