/**
 * Whether the tests notice realistic faults: `npm run bench:mutants [-- AREA…]`, an area being a room (`plan`, `adapters/consul`) or the
 * beginning of a file's path with a slash. Prints each fault that no test noticed, and how many were noticed by room. 1: some survived, or a suite
 * fails without any fault.
 */
import { availableParallelism } from "node:os";
import { copyProject, type Fate, fault, type Mutant, readMutants, roomOf } from "./mutants.ts";

/** Several waits of a minute each that fail are no hang. */
const LIMIT_MS = 600_000;
const areas = process.argv.slice(2);
const mutants = readMutants().filter(
  ({ file }) =>
    areas.length === 0 || areas.some((area) => roomOf(file) === area || (area.includes("/") && file.startsWith(area))),
);
for (const one of mutants) {
  const why = fault(one);
  if (why !== undefined) throw new Error(`Cannot make a mutant as ${why}`);
}

const fates = new Map<Mutant, Fate>();
const broken: string[] = [];
const suites = [...new Set(mutants.map(({ suite }) => suite))];
const left = [...mutants];
await Promise.all(Array.from({ length: Math.max(1, availableParallelism()) }, work));
report();
process.exitCode = broken.length > 0 || [...fates.values()].includes("survived") ? 1 : 0;

/** One copy, one suite at a time. */
async function work(): Promise<void> {
  const copy = await copyProject();
  try {
    for (let suite = suites.pop(); suite !== undefined; suite = suites.pop())
      if (!(await copy.passes(suite, LIMIT_MS))) broken.push(suite);
    for (let mutant = left.pop(); mutant !== undefined; mutant = left.pop()) {
      const fate = await copy.fateOf(mutant, LIMIT_MS);
      fates.set(mutant, fate);
      process.stderr.write(
        `${mutants.length - left.length} of ${mutants.length}: ${fate}  ${mutant.file}  ${mutant.why}\n`,
      );
    }
  } finally {
    await copy.remove();
  }
}

function report(): void {
  for (const suite of broken) process.stdout.write(`fails without a fault: ${suite}\n`);
  for (const [{ file, from, to, suite, why }, fate] of fates)
    if (fate === "survived") process.stdout.write(`survived: ${file}: ${from} → ${to}\n  ${why}; ${suite} passes\n`);
  const byRoom = Map.groupBy(fates, ([{ file }]) => roomOf(file));
  const rows = [...byRoom, ["all", [...fates]] as const].map(([room, all]) => {
    const noticed = all.filter(([, fate]) => fate !== "survived").length;
    return { room, noticed, of: all.length };
  });
  for (const { room, noticed, of } of rows)
    process.stdout.write(
      `${room.padEnd(20)} ${String(noticed).padStart(4)} of ${of}  ${((100 * noticed) / of).toFixed(0)} %\n`,
    );
}
