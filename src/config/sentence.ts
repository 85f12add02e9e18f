import type { z } from "zod";
import type { Path, Problem } from "./document.ts";

const NOUNS: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
};

/** Zod's issues as problems, one per unknown key. `at` is where the checked value stands. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], at: Path, optionsOf: string): Problem[] {
  return issues.flatMap((issue) => {
    const path = [...at, ...issue.path];
    if (issue.code === "unrecognized_keys")
      return issue.keys.map((key) => ({
        path: [...path, key],
        isKey: true,
        message: issue.message === "" ? `is not an option of ${optionsOf}` : issue.message,
      }));
    if (issue.code === "invalid_union" && issue.errors.length > 0)
      return problemsOf(likeliestBranch(issue.errors), path, optionsOf);
    return [{ path, message: issue.message }];
  });
}

/** The branch of a union that the writer meant: the one that does not fail at once for the type of the whole value. */
function likeliestBranch(branches: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] {
  return (
    branches.find((issues) => issues.every(({ code, path }) => code !== "invalid_type" || path.length > 0)) ??
    branches[0] ??
    []
  );
}

/** Error map of our schemas: what the value must be, read on from its path. Issues with a message of their own keep it. */
export function sentenceOf(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is missing";
      return `must be ${NOUNS[issue.expected] ?? issue.expected}${issue.input === null ? ", not empty" : ""}`;
    case "invalid_value":
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
    case "invalid_union":
      return Array.isArray(issue.options)
        ? `must be ${issue.options.map((value) => JSON.stringify(value)).join(" or ")}`
        : undefined;
    case "too_small":
      return issue.origin === "array"
        ? `must have at least ${count(issue.minimum)}`
        : issue.origin === "string"
          ? "must not be empty"
          : `must be at least ${issue.minimum}`;
    case "too_big":
      return issue.origin === "array"
        ? `must have at most ${count(issue.maximum)}`
        : issue.origin === "string"
          ? `must have at most ${issue.maximum} characters`
          : `must be at most ${issue.maximum}`;
    case "unrecognized_keys":
      return "";
    default:
      return undefined;
  }
}

function count(entries: number | bigint): string {
  return `${entries} ${Number(entries) === 1 ? "entry" : "entries"}`;
}
