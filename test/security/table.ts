// `npm run docs:security` writes the threat table anew; without --write it tells whether it is as the tests say.
import { type GeneratedTable, ofAllTests, renew, writtenRows } from "../generated.ts";
import type { SecurityRow, Stranger } from "./row.ts";

/** A row with the file of the test that shows it. */
export interface ShownRow extends SecurityRow {
  readonly file: string;
}

/** Strangers in the order of the table. */
export const STRANGERS: readonly Stranger[] = [
  "registry tenant",
  "registry server",
  "cluster tenant",
  "DNS client",
  "HTTP client",
  "local user",
  "network",
  "stolen service account",
];

/**
 * The rows in one file.
 *
 * @throws Where a call is not the name of a test, or its row is not of plain strings.
 */
export function rowsIn(source: string, file: string): readonly ShownRow[] {
  return writtenRows("securityRow", source, file).map(({ fields: { who, attack, outcome }, line }) => {
    const known = STRANGERS.find((one) => one === who);
    if (known === undefined || attack === undefined || outcome === undefined)
      throw new Error(`Cannot read the row at ${line}: it must have who, attack and outcome`);
    return { who: known, attack, outcome, file };
  });
}

/** All rows of all tests, in the order of the table. */
export function allRows(): readonly ShownRow[] {
  const rows = ofAllTests("test/security/", rowsIn);
  return STRANGERS.flatMap((who) => rows.filter((row) => row.who === who));
}

/** The table as Markdown. */
export function tableOf(rows: readonly ShownRow[]): string {
  return ["| who | does what | what comes of it | test |", "|---|---|---|---|"]
    .concat(rows.map(({ who, attack, outcome, file }) => `| ${who} | ${attack} | ${outcome} | \`${file}\` |`))
    .join("\n");
}

/** Where it stands. */
export const securityTable: GeneratedTable = {
  document: "deploy/docs/security.md",
  begin: "<!-- threat table: npm run docs:security -->\n",
  end: "<!-- end of the threat table -->",
  table: () => tableOf(allRows()),
};

if (import.meta.main) renew(securityTable, "docs:security", process.argv.includes("--write"));
