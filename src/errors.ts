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

/** What the system says of a file in one word, read on from its path: `no such file`. */
export function fileFault(cause: unknown): string {
  const { code = "" } = (cause ?? {}) as { readonly code?: string };
  return FILE_FAULTS[code] ?? describeError(cause);
}

const FILE_FAULTS: Readonly<Record<string, string>> = {
  ENOENT: "ENOENT, no such file",
  EACCES: "EACCES, this user may not read it",
  EISDIR: "EISDIR, it is a folder",
  ENOTDIR: "ENOTDIR, a part of the path is no folder",
};

/** What a YAML parser finds wrong, with its own word for it. */
export interface SyntaxFault {
  readonly offset: number;
  readonly code: string;
  readonly message: string;
}

/**
 * What is wrong in a YAML text, said so that a person can mend it; the place may be another line than the parser's. Of several faults the
 * first counts: a line that is indented wrongly makes more of them, which are none.
 *
 * @see https://eemeli.org/yaml/#errors for the codes
 */
export function syntaxText(
  text: string,
  [fault]: readonly SyntaxFault[],
): { offset: number; message: string } | undefined {
  if (fault === undefined) return undefined;
  const { offset, code, message } = fault;
  const lines = text.slice(0, offset).split("\n");
  const own = lineAt(text, offset);
  const plain = message.split("\n")[0] ?? "";
  const said = (at: number, sentence: string) => ({ offset: at, message: sentence });
  if (code === "BLOCK_AS_IMPLICIT_KEY" || code === "MULTILINE_IMPLICIT_KEY") {
    const end = offset - (lines.at(-1)?.length ?? 0) + own.length;
    const next = lineAt(text, end + 1);
    const isDeeper = indentOf(next) > indentOf(own) && /^[^#]*:/.test(next);
    if (!isDeeper) return said(offset, 'has ": " in a text: write the text in quotes');
    return said(
      end + 1 + indentOf(next),
      `is indented by ${indentOf(next)}, deeper than the line above, which has its value already: indent it by ${startOf(own)}`,
    );
  }
  if (code === "BAD_INDENT" || /indicator$/.test(plain) || code === "TAB_AS_INDENT") {
    if (/\t/.test(own.slice(0, indentOf(own) || 1)) || code === "TAB_AS_INDENT")
      return said(offset, "is indented by a tab: write spaces");
    if (/^flow/i.test(plain)) return said(offset, plain);
    const isItem = own.trimStart().startsWith("-");
    const above = lines.slice(0, -1).findLast((line) => line.trim() !== "" && (!isItem || /^ *-/.test(line))) ?? "";
    const at = isItem ? indentOf(above) : startOf(above);
    const what = isItem
      ? "items of one list begin at the same column, here"
      : "what belongs to the line above begins at the same column, here";
    return said(offset, `is indented by ${indentOf(own)}, which fits no line above: ${what} ${at}`);
  }
  return said(offset, plain);
}

function lineAt(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  return text.slice(start, end < 0 ? text.length : end);
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

/** Where a line's own key begins, behind the dashes of lists. */
function startOf(line: string): number {
  return (/^[ ]*(?:- +)*/.exec(line)?.[0] ?? "").length;
}
