import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/** A row as a test's source has it: its strings by name, and where it stands. */
export interface WrittenRow {
  readonly fields: Readonly<Record<string, string | undefined>>;
  readonly file: string;
  /** `test/x.test.ts:12` */
  readonly line: string;
}

/** A table in a document that is made of the names of tests. */
export interface GeneratedTable {
  /** Path from the root of the project. */
  readonly document: string;
  /** Lines that stand before and after the table. */
  readonly begin: string;
  readonly end: string;
  /** The table as Markdown. */
  readonly table: () => string;
}

/**
 * The rows in one file: calls of the function `name` with an object of plain strings in double quotes.
 *
 * @throws Where a call is not the name of a test, or its row is not of plain strings.
 */
export function writtenRows(name: string, source: string, file: string): readonly WrittenRow[] {
  const calls = [...source.matchAll(new RegExp(`\\b${name}\\(`, "g"))].map(({ index }) => index);
  return calls.map((at) => {
    const [, body] = new RegExp(`^${name}\\(\\s*\\{([^{}]*)\\}`).exec(source.slice(at)) ?? [];
    const line = `${file}:${source.slice(0, at).split("\n").length}`;
    if (body === undefined || !/\btest\(\s*$/.test(source.slice(0, at)))
      throw new Error(`Cannot read the row at ${line}: ${name}({…}) with plain strings must be the name of a test`);
    const pairs = [...body.matchAll(/(\w+):\s*("(?:[^"\\]|\\.)*")/g)];
    return { fields: Object.fromEntries(pairs.map(([, key = "", text = ""]) => [key, JSON.parse(text)])), file, line };
  });
}

/** What `read` finds in all tests, by path; those of the generators themselves, in `except`, are left out. */
export function ofAllTests<Row>(except: string, read: (source: string, file: string) => readonly Row[]): Row[] {
  return globSync("test/**/*.test.ts", { cwd: ROOT })
    .sort()
    .filter((file) => !file.startsWith(except))
    .flatMap((file) => read(readFileSync(join(ROOT, file), "utf8"), file));
}

/**
 * The document as it stands, and as it should.
 *
 * @throws When it has no place for the table.
 */
export function documents({ document, begin, end, table }: GeneratedTable): { is: string; should: string } {
  const is = readFileSync(join(ROOT, document), "utf8");
  const [from, to] = [is.indexOf(begin), is.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`Cannot find the place of the table in ${document}`);
  return { is, should: `${is.slice(0, from + begin.length)}${table()}\n${is.slice(to)}` };
}

/** Write the table anew, or without `write` say on stderr and by exit code 1 that it is out of date. */
export function renew(generated: GeneratedTable, script: string, write: boolean): void {
  const { is, should } = documents(generated);
  if (write) writeFileSync(join(ROOT, generated.document), should);
  else if (is !== should) {
    process.stderr.write(`The table in ${generated.document} is not as the tests say: npm run ${script}\n`);
    process.exitCode = 1;
  }
}
