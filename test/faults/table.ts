// `npm run docs:faults` writes the fault table anew; without --write it tells whether it is as the tests say.
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FaultRow, FaultTarget } from "./row.ts";

/** A row with the file of the test that shows it. */
export interface ShownRow extends FaultRow {
  readonly file: string;
}

/** Targets in the order of the table. */
export const TARGETS: readonly FaultTarget[] = [
  "static",
  "Consul",
  "Polaris",
  "API server",
  "DNS upstream",
  "own process",
];

const ROOT = join(import.meta.dirname, "../..");
const DOCUMENT = join(ROOT, "deploy/docs/reliability.md");
const [BEGIN, END] = ["<!-- fault table: npm run docs:faults -->\n", "<!-- end of the fault table -->"];

/** Where the issues of a peer are. */
const PEERS: Readonly<Record<string, string>> = {
  "consul-k8s": "hashicorp/consul-k8s",
  consul2istio: "aeraki-mesh/consul2istio",
  "external-dns": "kubernetes-sigs/external-dns",
  higress: "higress-group/higress",
  slime: "slime-io/slime",
};

/**
 * The rows in one file.
 *
 * @throws Where a call is not the name of a test, or its row is not of plain strings.
 */
export function rowsIn(source: string, file: string): readonly ShownRow[] {
  const calls = [...source.matchAll(/\bfaultRow\(/g)].map(({ index }) => index);
  return calls.map((at) => {
    const [, body] = /^faultRow\(\s*\{([^{}]*)\}/.exec(source.slice(at)) ?? [];
    const line = `${file}:${source.slice(0, at).split("\n").length}`;
    if (body === undefined || !/\btest\(\s*$/.test(source.slice(0, at)))
      throw new Error(`Cannot read the row at ${line}: faultRow({…}) with plain strings must be the name of a test`);
    return { ...rowOf(body, line), file };
  });
}

function rowOf(body: string, line: string): FaultRow {
  const pairs = [...body.matchAll(/(\w+):\s*("(?:[^"\\]|\\.)*")/g)];
  const row = Object.fromEntries(pairs.map(([, key = "", text = ""]) => [key, JSON.parse(text) as string]));
  const { target, fault, expect, peer } = row;
  const known = TARGETS.find((one) => one === target);
  if (known === undefined || fault === undefined || expect === undefined)
    throw new Error(`Cannot read the row at ${line}: it must have target, fault and expect`);
  return { target: known, fault, expect, ...(peer === undefined ? {} : { peer }) };
}

/** All rows of all tests, in the order of the table. */
export function allRows(): readonly ShownRow[] {
  const files = globSync("test/**/*.test.ts", { cwd: ROOT }).sort();
  const rows = files
    .filter((file) => !file.startsWith("test/faults/"))
    .flatMap((file) => rowsIn(readFileSync(join(ROOT, file), "utf8"), file));
  return TARGETS.flatMap((target) => rows.filter((row) => row.target === target));
}

/** The table as Markdown. */
export function tableOf(rows: readonly ShownRow[]): string {
  const lines = rows.map(({ target, fault, expect, peer, file }) =>
    [target, fault, expect, peer === undefined ? "" : linked(peer), `\`${file}\``].join(" | "),
  );
  return ["| target | fault | what happens | where others fell | test |", "|---|---|---|---|---|"]
    .concat(lines.map((line) => `| ${line} |`))
    .join("\n");
}

function linked(peers: string): string {
  return peers
    .split(", ")
    .map((peer) => {
      const [, name = "", number] = /^(\S+)(?: #(\d+))?$/.exec(peer) ?? [];
      const repository = PEERS[name];
      if (repository === undefined) throw new Error(`Cannot link "${peer}" as its repository must be known`);
      return `[${peer}](https://github.com/${repository}${number === undefined ? "" : `/issues/${number}`})`;
    })
    .join(", ");
}

/** The document as it stands, and as it should. */
export function documents(): { readonly is: string; readonly should: string } {
  const is = readFileSync(DOCUMENT, "utf8");
  const [from, to] = [is.indexOf(BEGIN), is.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`Cannot find the place of the fault table in ${DOCUMENT}`);
  return { is, should: `${is.slice(0, from + BEGIN.length)}${tableOf(allRows())}\n${is.slice(to)}` };
}

if (import.meta.main) {
  const { is, should } = documents();
  if (process.argv.includes("--write")) writeFileSync(DOCUMENT, should);
  else if (is !== should) {
    process.stderr.write("The fault table is not as the tests say: npm run docs:faults\n");
    process.exitCode = 1;
  }
}
