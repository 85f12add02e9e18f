import { escapedText } from "../text.ts";

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
  /** Further headers, in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A plain text answer, in which what a terminal would obey is escaped; the line end is added. */
export function text(status: number, body: string): Reply {
  return { status, type: "text/plain; charset=utf-8", body: `${escapedText(body)}\n` };
}
