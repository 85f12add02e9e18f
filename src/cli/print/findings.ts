import type { Finding } from "../../doctor/finding.ts";
import type { Colour, Style } from "../context.ts";
import { count, table } from "./text.ts";

/** As in other diffs. */
function diffColour(line: string): Colour {
  if (line.startsWith("+")) return "green";
  return line.startsWith("-") ? "red" : "dim";
}

/** The findings of the doctor for people, and how many there are of each state. */
export function findingLines(findings: readonly Finding[], style: Style): readonly string[] {
  const marks = { fine: " ", warning: "*", problem: "!", unchecked: "?" } as const;
  const colours = { fine: "dim", warning: "yellow", problem: "red", unchecked: "yellow" } as const;
  const rows = table(findings.map(({ check, state, message }) => [`${marks[state]} ${check}`, message]));
  const lines = findings.flatMap(({ state, fix, diff }, at) => [
    style(colours[state], rows[at] ?? ""),
    ...(diff === undefined ? [] : diff.split("\n").map((text) => style(diffColour(text), `    ${text}`))),
    ...(fix === undefined ? [] : fix.split("\n").map((text, row) => (row === 0 ? `    ${text}` : text))),
  ]);
  const number = (state: Finding["state"]) => findings.filter((one) => one.state === state).length;
  const [unchecked, warnings] = [number("unchecked"), number("warning")];
  return [
    ...lines,
    "",
    `${count(findings.length, "check")}: ${number("fine")} fine, ${number("problem")} to fix${warnings > 0 ? `, ${warnings} to know` : ""}${unchecked > 0 ? `, ${unchecked} could not be made` : ""}. Nothing was written.`,
  ];
}
