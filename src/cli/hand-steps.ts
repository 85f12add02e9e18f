import { describeError } from "../errors.ts";
import type { Handled } from "../kube/hands.ts";
import type { ObjectKey } from "../model/objects.ts";
import type { ServiceKey } from "../model/service.ts";
import type { CliContext, Colour, ExitCode, Format } from "./context.ts";
import { count, table } from "./text.ts";

/** What is to be done to one object by hand, or why it is not. */
export interface HandStep {
  readonly act: "adopt" | "hand over" | "release" | "delete" | "leave" | "wait" | "refuse";
  readonly key: ObjectKey;
  readonly service?: ServiceKey | undefined;
  /** Reads on from the object: `it is ours from now on, for vms/shop/orders`. */
  readonly why: string;
  /** Missing where nothing is to be written. */
  readonly write?: () => Promise<Handled>;
}

/** What became of a step. */
export interface HandResult extends HandStep, Partial<Handled> {}

const SIGNS: Readonly<Record<HandStep["act"], readonly [sign: string, colour: Colour]>> = {
  adopt: ["+", "green"],
  "hand over": [">", "cyan"],
  release: ["<", "cyan"],
  delete: ["-", "red"],
  leave: ["=", "dim"],
  wait: [".", "yellow"],
  refuse: ["!", "yellow"],
};
const DONE: Readonly<Record<HandStep["act"], string>> = {
  adopt: "adopted",
  "hand over": "handed over",
  release: "released",
  delete: "deleted",
  leave: "left",
  wait: "waiting",
  refuse: "refused",
};

/** Take the steps, one after the other: one that fails does not stop the others. In a dry run none is taken. */
export async function takeSteps(
  steps: readonly HandStep[],
  { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<readonly HandResult[]> {
  const results: HandResult[] = [];
  for (const step of steps) {
    signal.throwIfAborted();
    results.push({ ...step, ...(isDryRun ? {} : await step.write?.()) });
  }
  return results;
}

/** Print what became of the steps. 1: something was refused or could not be written, else 0. */
export function concludeSteps(
  { out: { line, style } }: CliContext,
  results: readonly HandResult[],
  { output, isDryRun, notes = [] }: { readonly output: Format; readonly isDryRun: boolean; notes?: readonly string[] },
): ExitCode {
  const failed = results.filter(({ outcome }) => outcome === "conflict" || outcome === "failed");
  if (output === "json") line(JSON.stringify({ objects: results.map(stepJson), dryRun: isDryRun }, null, 2));
  else {
    const rows = results.map((result) => [`${SIGNS[result.act][0]} ${result.key}`, textOf(result)]);
    for (const [at, text] of table(rows).entries()) line(style(SIGNS[results[at]?.act ?? "wait"][1], text));
    if (results.length > 0) line("");
    line([countsOf(results), ...(isDryRun ? ["Nothing was written."] : notes)].join(" "));
  }
  return failed.length > 0 || results.some(({ act }) => act === "refuse") ? 1 : 0;
}

function textOf({ why, outcome, error }: HandResult): string {
  if (outcome === "conflict") return `it moved meanwhile: run this again`;
  return outcome === "failed" ? describeError(error) : why;
}

function stepJson({ act, key, service, why, outcome, error }: HandResult): object {
  return {
    object: key,
    action: act,
    ...(service === undefined ? {} : { service }),
    why,
    ...(outcome === undefined ? {} : { outcome }),
    ...(error === undefined ? {} : { error: describeError(error) }),
  };
}

/** `2 objects adopted, 1 refused.` */
function countsOf(results: readonly HandResult[]): string {
  const done = results.filter(({ outcome }) => outcome !== "conflict" && outcome !== "failed");
  const counts = [...Map.groupBy(done, ({ act }) => act)].map(([act, { length }]) => ({ length, text: DONE[act] }));
  const failed = results.length - done.length;
  const all = failed === 0 ? counts : [...counts, { length: failed, text: "not written" }];
  const texts = all.map(({ length, text }, at) => `${at === 0 ? count(length, "object") : length} ${text}`);
  return texts.length === 0 ? "There is nothing to do." : `${texts.join(", ")}.`;
}
