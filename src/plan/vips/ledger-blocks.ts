import { inSlices, type Sliced } from "../../async/slices.ts";
import { ledgerAddress, ledgerSpot } from "../../istio/addresses.ts";
import type { StandingLedgerBlock } from "../../model/standing.ts";
import type { LedgerWrite } from "../../model/target.ts";
import type { PlanMemory } from "../memory.ts";
import type { LedgerLine } from "./ledger.ts";

/** All lines that stand, by address. */
export function* readLedger(
  blocks: ReadonlyMap<string, StandingLedgerBlock>,
  { ledgerLines }: PlanMemory,
): Sliced<Map<string, LedgerLine>> {
  const lines = new Map<string, LedgerLine>();
  // In one order for every process, whatever the order in which the target told of them.
  for (const block of [...blocks.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const known = ledgerLines.get(block) ?? readBlock(block);
    ledgerLines.set(block, known);
    for (const line of known) lines.set(line.address, line);
    yield;
  }
  return lines;
}

function readBlock(block: StandingLedgerBlock): readonly LedgerLine[] {
  return Object.entries(block.data).flatMap(([key, value]) => {
    const address = ledgerAddress(key);
    return address === undefined ? [] : [readLine(address, value)];
  });
}

function readLine(address: string, value: string): LedgerLine {
  const [host, owner, state, since] = value.split(" ");
  const unreadable: LedgerLine = { address, host: undefined, owner: undefined };
  if (host === undefined || owner === undefined) return unreadable;
  if (state === "used") return { address, host, owner };
  const restingSinceMs = Date.parse(since ?? "");
  return state === "resting" && !Number.isNaN(restingSinceMs) ? { address, host, owner, restingSinceMs } : unreadable;
}

function writeLine({ host, owner, restingSinceMs }: LedgerLine): string {
  return restingSinceMs === undefined
    ? `${host} ${owner} used`
    : `${host} ${owner} resting ${new Date(restingSinceMs).toISOString()}`;
}

/** The blocks that changed, whole. */
export function* blockWrites(
  lines: ReadonlyMap<string, LedgerLine>,
  changed: ReadonlySet<string>,
  blocks: ReadonlyMap<string, StandingLedgerBlock>,
  isOver: (line: LedgerLine) => boolean,
): Sliced<readonly LedgerWrite[]> {
  if (changed.size === 0) return [];
  const data = new Map<string, Record<string, string>>();
  yield* inSlices(lines, ([address, line]) => {
    const { block, key } = ledgerSpot(address);
    if (!changed.has(block)) return;
    const rows = data.get(block) ?? {};
    data.set(block, rows);
    // A rest that is over is dropped only now: a pass that has nothing else to write does not write for it.
    if (line.host === undefined) rows[key] = blocks.get(block)?.data[key] ?? "";
    else if (!isOver(line)) rows[key] = writeLine(line);
  });
  return [...data]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, rows]) => ({
      name,
      resourceVersion: blocks.get(name)?.resourceVersion ?? "",
      data: Object.fromEntries(Object.entries(rows).sort(([a], [b]) => (a < b ? -1 : 1))),
    }));
}
