import type { Ended } from "./child.ts";
import type { PassFigures } from "./pass.ts";
import { median, type Row, table } from "./table.ts";
import type { Window } from "./window.ts";

/** Who writes the objects: this project, a loop of plain requests, or a loop with client-node's generated classes. */
export type Writer = "x2istio" | "bare" | "generated";

/** One process that wrote all objects once. */
export interface Run {
  readonly writer: Writer;
  readonly process: Ended;
  readonly window: Window;
}

/**
 * Rates and ratios of all rounds.
 *
 * @param runs of each writer in the order of the rounds
 * @param again x2istio once more over what it wrote before
 */
export function syncReport(runs: readonly Run[], again: Run, services: number, objects: number): string {
  const of = (writer: Writer) => runs.filter((run) => run.writer === writer);
  const ratios = (over: Writer, figure: (run: Run) => number) =>
    of(over).map((run, round) => figureOf(of("x2istio")[round], figure) / figure(run));
  const objectRate = ({ window }: Run) => window.objectsPerSecond;
  const entryRate = ({ window }: Run) => window.entriesPerSecond;
  const pairs = ratios("bare", objectRate);
  const bareRates = of("bare").map(objectRate);
  const ours = of("x2istio").map(({ process, window }) => ({ ...window, ...process }));
  return [
    `\nFirst sync: ${services} services, ${objects} objects, 16 in flight\n\n`,
    table([
      { what: "x2istio ÷ bare loop, objects/s", values: pairs, digits: 3 },
      { what: "x2istio ÷ bare loop, ServiceEntries/s", values: ratios("bare", entryRate), digits: 3 },
      { what: "x2istio ÷ generated client, objects/s", values: ratios("generated", objectRate), digits: 3 },
    ]),
    `\nPair by pair, objects/s: ${pairs.map((ratio) => ratio.toFixed(2)).join(" ")} (target: median ≥ 0.9)\n`,
    `The bare loop alone varied by ${((Math.max(...bareRates) / Math.min(...bareRates) - 1) * 100).toFixed(0)} % from round to round.\n\n`,
    table(["x2istio", "bare", "generated"].flatMap((writer) => rates(writer, of(writer as Writer)))),
    "\n",
    table([
      {
        what: "process start to first write, s",
        values: ours.map((run) => (run.beganMs - run.startedMs) / 1000),
        digits: 2,
      },
      { what: "VIP ledger, s", values: ours.map((run) => (run.firstMs - run.beganMs) / 1000), digits: 2 },
      { what: "first to last object, s", values: ours.map((run) => (run.lastMs - run.firstMs) / 1000), digits: 2 },
      {
        what: "process start to last object, s",
        values: ours.map((run) => (run.lastMs - run.startedMs) / 1000),
        digits: 2,
      },
      { what: "process start to exit, s", values: ours.map((run) => (run.endedMs - run.startedMs) / 1000), digits: 2 },
      { what: "peak RSS, MiB", values: ours.map((run) => run.maxRssMiB) },
    ]),
    `\nWrites besides objects: ${counts(ours[0]?.others)}. `,
    `A second apply wrote ${counts({ objects: again.window.objects, ...again.window.others })}, `,
    `in ${(again.process.cpuMs / 1000).toFixed(2)} s of CPU.\n`,
  ].join("");
}

function figureOf(run: Run | undefined, figure: (run: Run) => number): number {
  return run === undefined ? Number.NaN : figure(run);
}

function rates(writer: string, runs: readonly Run[]): Row[] {
  return [
    { what: `${writer}: objects/s`, values: runs.map(({ window }) => window.objectsPerSecond) },
    { what: `${writer}: ServiceEntries/s`, values: runs.map(({ window }) => window.entriesPerSecond) },
    {
      what: `${writer}: CPU of the whole process, s`,
      values: runs.map(({ process }) => process.cpuMs / 1000),
      digits: 2,
    },
  ];
}

function counts(writes: Readonly<Record<string, number>> = {}): string {
  return Object.entries(writes)
    .map(([resource, count]) => `${count} ${resource}`)
    .join(", ");
}

/** CPU, memory and stages of an unchanged pass. */
export function passReport(
  services: number,
  endpoints: number,
  { cpuMs, changedMs, stageMs, rssMiB, heapMiB }: PassFigures,
): string {
  const stages = Object.entries(stageMs).map(([stage, ms]) => `${stage} ${ms.toFixed(1)}`);
  return [
    `\nUnchanged pass in process: ${services} × ${endpoints}\n\n`,
    table([
      { what: "CPU, ms", values: cpuMs, digits: 1 },
      { what: "CPU with one service changed, ms", values: changedMs, digits: 1 },
    ]),
    `\nMedian ms by stage: ${stages.join(", ")}\n`,
    `Memory after it: ${rssMiB.toFixed(0)} MiB RSS, ${heapMiB.toFixed(0)} MiB heap (with the services themselves); `,
    `${((median(cpuMs) * 1000) / services).toFixed(1)} µs of CPU a service\n`,
  ].join("");
}
