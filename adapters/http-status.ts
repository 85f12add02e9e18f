import type { ReadFailure } from "../src/errors.ts";

/** What kind of failure an HTTP status that is no success means. */
export function failureOfStatus(status: number): ReadFailure {
  if (status === 401 || status === 403) return "denied";
  return status === 429 || status >= 500 ? "server" : "answer";
}
