/** The user's configuration cannot be used; `message` names file, line and field of everything wrong. Ends the process with 1. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Something moved between our read and our write. The pass is to be computed again from the newer state. */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
}

/**
 * What went wrong when a registry was read, in one word: no answer in time, no connection, refused rights, an answer of 429 or
 * 5xx, or an answer that cannot be understood or believed.
 */
export type ReadFailure = "timeout" | "connection" | "denied" | "server" | "answer";

/** A registry, or one service of it, could not be read. Everything it made is held. */
export class ReadError extends Error {
  override readonly name = "ReadError";
  readonly failure: ReadFailure;

  constructor(failure: ReadFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** The kind of the first {@link ReadError} among an error and its causes. */
export function readFailure(error: unknown): ReadFailure | "other" {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++)
    if (at instanceof ReadError) return at.failure;
  return "other";
}

/** An error and its causes as one sentence: `Cannot read X: GET /y: connect ECONNREFUSED 10.0.0.2:8500`. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error, depth = 0; at !== undefined && at !== null && depth < 8; depth++) {
    const text = at instanceof Error ? messageOf(at) : String(at);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}

function messageOf(error: Error): string {
  // Node's AggregateError of a failed dual-stack connect has an empty message.
  if (error instanceof AggregateError && error.message === "")
    return error.errors.map((inner) => describeError(inner)).join(", ");
  return error.message === "" ? error.name : error.message;
}
