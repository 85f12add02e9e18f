import { STATUS_CODES } from "node:http";
import { plainText } from "../../text.ts";

/** Of what the API server, or a webhook behind it, says. */
const MOST_CHARACTERS = 2000;

/** The API server answered with an error status; `message` reads `Cannot patch Service shop/orders: 409 Conflict: …`. */
export class KubeStatusError extends Error {
  override readonly name = "KubeStatusError";
  readonly status: number;
  /** Machine-readable reason of the Status object, such as `AlreadyExists`. */
  readonly reason: string;
  /** What the server asks to wait before the next try, if it does. */
  readonly retryAfterSeconds: number | undefined;

  constructor(action: string, status: number, body: unknown, retryAfter?: unknown) {
    const { reason, message, details } = (typeof body === "object" && body !== null ? body : {}) as RawStatus;
    const known = typeof reason === "string" && reason !== "" ? plainText(reason, 100) : (STATUS_CODES[status] ?? "");
    const text = typeof message === "string" ? message : typeof body === "string" ? body.trim().slice(0, 500) : "";
    const plain = plainText(text, MOST_CHARACTERS);
    super([`Cannot ${action}`, `${status} ${known}`.trim(), plain].filter((part) => part !== "").join(": "));
    this.status = status;
    this.reason = known;
    this.retryAfterSeconds = toSeconds(retryAfter) ?? toSeconds(details?.retryAfterSeconds);
  }
}

/** An answer was larger than its reader allows. */
export class TooLargeError extends Error {
  override readonly name = "TooLargeError";
}

/** Whether `error` is an answer of that status. */
export function hasStatus(error: unknown, status: number): error is KubeStatusError {
  return error instanceof KubeStatusError && error.status === status;
}

/** Whether `error` says that the object itself is not there: an API server that does not know its kind answers 404 too. */
export function isNotFound(error: unknown): error is KubeStatusError {
  return hasStatus(error, 404) && error.reason === "NotFound";
}

interface RawStatus {
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly details?: { readonly retryAfterSeconds?: unknown } | null;
}

function toSeconds(value: unknown): number | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const seconds = Number(value);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}
