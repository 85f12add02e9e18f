// `npm run docs:faults` writes the fault table anew; without --write it tells whether it is as the tests say.
import { type GeneratedTable, ofAllTests, renew, writtenRows } from "../generated.ts";
import type { FaultRow, FaultTarget } from "./row.ts";

/** A row with the file of the test that shows it. */
export interface ShownRow extends FaultRow {
  readonly file: string;
}

/** Targets in the order of the table. */
export const TARGETS: readonly FaultTarget[] = [
  "static",
  "Consul",
  "Eureka",
  "Nacos",
  "Polaris",
  "ZooKeeper",
  "API server",
  "DNS upstream",
  "own process",
];

/** Where the issues of a peer are. */
const PEERS: Readonly<Record<string, string>> = {
  "consul-k8s": "hashicorp/consul-k8s",
  consul2istio: "aeraki-mesh/consul2istio",
  "external-dns": "kubernetes-sigs/external-dns",
  nacos: "alibaba/nacos",
  higress: "higress-group/higress",
  slime: "slime-io/slime",
};

/**
 * The rows in one file.
 *
 * @throws Where a call is not the name of a test, or its row is not of plain strings.
 */
export function rowsIn(source: string, file: string): readonly ShownRow[] {
  return writtenRows("faultRow", source, file).map(({ fields: { target, fault, expect, peer }, line }) => {
    const known = TARGETS.find((one) => one === target);
    if (known === undefined || fault === undefined || expect === undefined)
      throw new Error(`Cannot read the row at ${line}: it must have target, fault and expect`);
    return { target: known, fault, expect, ...(peer === undefined ? {} : { peer }), file };
  });
}

/** All rows of all tests, in the order of the table. */
export function allRows(): readonly ShownRow[] {
  const rows = ofAllTests("test/faults/", rowsIn);
  return TARGETS.flatMap((target) => rows.filter((row) => row.target === target));
}

/** The table as Markdown. */
export function tableOf(rows: readonly ShownRow[]): string {
  const lines = rows.map(({ target, fault, expect, peer, file }) =>
    [target, fault, expect, peer === undefined ? "" : linked(peer), `\`${file}\``].join(" | "),
  );
  return ["| target | fault | what happens | known failures elsewhere | test |", "|---|---|---|---|---|"]
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

/** Where it stands. */
export const faultTable: GeneratedTable = {
  document: "deploy/docs/reliability.md",
  begin: "<!-- fault table: npm run docs:faults -->\n",
  end: "<!-- end of the fault table -->",
  table: () => tableOf(allRows()),
};

if (import.meta.main) renew(faultTable, "docs:faults", process.argv.includes("--write"));
