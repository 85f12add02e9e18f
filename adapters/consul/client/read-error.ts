import { ReadError } from "../../../src/errors.ts";

/** A failure as one that names the request. */
export function asReadError(path: string, dc: string | undefined, cause: unknown): ReadError {
  const what = `GET ${path}${dc === undefined ? "" : ` in ${dc}`}`;
  if (!(cause instanceof ReadError)) return new ReadError("connection", what, { cause });
  const { message } = cause;
  const said = /^(answered|gave)/.test(message)
    ? ` ${message}`
    : /^Cannot/.test(message)
      ? `: ${message}`
      : `: the answer ${message}`;
  return new ReadError(cause.failure, `${what}${said}`, { cause: cause.cause });
}
