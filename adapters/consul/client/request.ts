import { ReadError } from "../../../src/errors.ts";
import type { Secrets } from "../../../src/secrets.ts";
import type { AnswerBody } from "../../answer-body.ts";
import { failureOfStatus } from "../../http-status.ts";
import type { Parser } from "../../parse.ts";
import { shorten } from "../../text.ts";
import { type ConsulOptions, placeParameters } from "../options.ts";
import type { Head } from "./transport.ts";

/** A good answer of Consul. */
export interface Answer<Result> {
  /** Differs when the body does. */
  digest(): string;
  /** What the parser makes of the body. @throws {ReadError} When it cannot be understood. */
  result(): Result;
  /** X-Consul-Index; 0 when there is none that can be waited on. */
  readonly index: number;
  /** Something was taken out of it, as the token may not read it. */
  readonly filtered: boolean;
}

/** What to get, besides the path. */
export interface Query<Result> {
  readonly dc: string | undefined;
  /** Absent where only the index is wanted: whatever the body is, it is not kept. */
  readonly parser?: Parser<Result>;
  /** Further parameters. */
  readonly params?: Readonly<Record<string, string>>;
  /** A blocking query: answer when the index differs from this one, at the latest after the time of option `wait`. */
  readonly index?: number;
  /** Have the leader make sure that it is one, and that it knows all that it once said; not with consistency `stale`. */
  readonly isSure?: boolean;
  /** No other server than the leader is to answer, also with consistency `stale`. */
  readonly fromLeader?: boolean;
}

const MOST_TEXT = 160;
const MOST_ERROR_BYTES = 4096;

/** Try a read once more when its connection was kept from before and the other end has closed it meanwhile. */
export async function again<Result>(
  send: () => Promise<Result>,
  { index }: Pick<Query<unknown>, "index">,
  signal: AbortSignal,
): Promise<Result> {
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

/** Parameters of a query; `stale` lets any server answer. */
export function parameters(
  { dc, params = {}, index, isSure }: Query<unknown>,
  stale: boolean,
  { consistency, wait, enterprise }: ConsulOptions,
): Readonly<Record<string, string>> {
  const consistent = !stale && (consistency === "consistent" || isSure === true);
  return {
    ...placeParameters(dc, enterprise),
    ...(stale ? { stale: "" } : {}),
    ...(consistent ? { consistent: "" } : {}),
    ...params,
    // Not all wait equally long, so that they do not all come back at once.
    ...(index === undefined ? {} : { index: `${index}`, wait: `${Math.ceil(wait * (0.9 + Math.random() / 10))}ms` }),
  };
}

/** What the head of an answer says of it. @throws {ReadError} Unless it is a good one. */
export function judged(
  { status, headers }: Head,
  body: AnswerBody,
  secrets: Secrets,
): Pick<Answer<never>, "index" | "filtered"> {
  if (status !== 200) {
    // A server may send back what it was sent.
    const text = shorten(secrets.mask(body.whole().toString("utf8", 0, MOST_ERROR_BYTES)).trim(), MOST_TEXT);
    throw new ReadError(failureOfStatus(status), `answered ${status}${text === "" ? "" : `: ${text}`}`);
  }
  return {
    index: indexOf(headers),
    filtered: headers["x-consul-results-filtered-by-acls"] === "true",
  };
}

/** X-Consul-Index; 0 when there is none that can be waited on. */
export function indexOf(headers: Head["headers"]): number {
  const index = Number(headers["x-consul-index"]);
  return Number.isSafeInteger(index) && index >= 1 ? index : 0;
}
