import { describeError } from "../../errors.ts";
import type { OwnershipAction, OwnershipResult } from "../../ownership/actions.ts";
import type { CliContext, Colour, ExitCode, Format } from "../context.ts";
import { count, table } from "./text.ts";

const SIGNS: Readonly<Record<OwnershipAction["kind"], readonly [sign: string, colour: Colour]>> = {
  adopt: ["+", "green"],
  "hand over": [">", "cyan"],
  release: ["<", "cyan"],
  delete: ["-", "red"],
  leave: ["=", "dim"],
  wait: [".", "yellow"],
  refuse: ["!", "yellow"],
};
const DONE: Readonly<Record<OwnershipAction["kind"], string>> = {
  adopt: "adopted",
  "hand over": "handed over",
  release: "released",
  delete: "deleted",
  leave: "left",
  wait: "waiting",
  refuse: "refused",
};

/** Print what became of the actions. 1: something was refused or could not be written, else 0. */
export function concludeActions(
  { out: { line, style } }: CliContext,
  results: readonly OwnershipResult[],
  { output, isDryRun, notes = [] }: { readonly output: Format; readonly isDryRun: boolean; notes?: readonly string[] },
): ExitCode {
  const failed = results.filter(({ outcome }) => outcome === "conflict" || outcome === "failed");
  if (output === "json") line(JSON.stringify({ objects: results.map(actionJson), dryRun: isDryRun }, null, 2));
  else {
    const rows = results.map((result) => [`${SIGNS[result.kind][0]} ${result.key}`, textOf(result, isDryRun)]);
    for (const [at, text] of table(rows).entries()) line(style(SIGNS[results[at]?.kind ?? "wait"][1], text));
    if (results.length > 0) line("");
    line([countsOf(results, isDryRun), ...(isDryRun ? ["Nothing was written."] : notes)].join(" "));
  }
  return failed.length > 0 || results.some(({ kind }) => kind === "refuse") ? 1 : 0;
}

function toDo(kind: OwnershipAction["kind"]): string {
  const isNoChange = kind === "leave" || kind === "wait" || kind === "refuse";
  return isNoChange ? DONE[kind] : `would be ${DONE[kind]}`;
}

function textOf({ kind, why, outcome, error }: OwnershipResult, isDryRun: boolean): string {
  if (isDryRun && kind === "delete") return `would be deleted: ${why}`;
  if (outcome === "conflict") return `it changed meanwhile: run this again`;
  return outcome === "failed" ? describeError(error) : why;
}

function actionJson({ kind, key, service, why, outcome, error }: OwnershipResult): object {
  return {
    object: key,
    action: kind,
    ...(service === undefined ? {} : { service }),
    why,
    ...(outcome === undefined ? {} : { outcome }),
    ...(error === undefined ? {} : { error: describeError(error) }),
  };
}

/** `2 objects adopted, 1 refused.`; before it is done: `2 objects would be adopted, 1 refused.` */
function countsOf(results: readonly OwnershipResult[], isDryRun: boolean): string {
  const done = results.filter(({ outcome }) => outcome !== "conflict" && outcome !== "failed");
  const counts = [...Map.groupBy(done, ({ kind }) => kind)].map(([kind, { length }]) => ({
    length,
    text: isDryRun ? toDo(kind) : DONE[kind],
  }));
  const failed = results.length - done.length;
  const all = failed === 0 ? counts : [...counts, { length: failed, text: "not written" }];
  const texts = all.map(({ length, text }, at) => `${at === 0 ? count(length, "object") : length} ${text}`);
  return texts.length === 0 ? "There is nothing to do." : `${texts.join(", ")}.`;
}
