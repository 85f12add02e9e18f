import type { ObjectKey } from "../model/objects.ts";
import type { Change } from "../model/plan.ts";
import { isDueAfter, keyOf, phaseOf, turnOf, type WritePhase, writtenBy } from "../model/write-order.ts";
import type { ByFile } from "./by-file.ts";
import type { DirectoryState } from "./state.ts";

/** What is given names that others wait for, before it lets go of its own. */
export function firstOf(byFile: ByFile): ByFile {
  return byFile.flatMap(([path, group]) => {
    const awaited = group.filter((change) => turnOf(change)?.first !== undefined);
    const steps = awaited.flatMap((change) => writtenBy({ change, isFirst: true }, NONE, undefined) ?? []);
    return steps.length === 0 ? [] : [[path, steps] as const];
  });
}

const NONE: ReadonlySet<ObjectKey> = new Set();

/** What is written of changes that had to wait. */
export interface Later {
  readonly files: ByFile;
  /** Of what is written, the change that it comes from, and whether it is all of it. */
  readonly origins: ReadonlyMap<Change, { readonly change: Change; readonly isWhole: boolean }>;
  /** What cannot be written. */
  readonly stuck: readonly Change[];
}

/** Phases of changes that had to wait, in their order. */
export const LATER = ["routes", "lettingGo", "aliases"] as const;

/** Changes of one of these phases, made to what the files are by now. A delete that had to wait lets go, too. */
export function laterOf(
  byFile: ByFile,
  phase: (typeof LATER)[number],
  { standing: { objects } }: Pick<DirectoryState, "standing">,
  written: ReadonlySet<ObjectKey>,
): Later {
  const origins = new Map<Change, { readonly change: Change; readonly isWhole: boolean }>();
  const stuck: Change[] = [];
  const stepOf = (change: Change): readonly Change[] => {
    const isWhole = isDueAfter(change, written);
    const step = writtenBy({ change }, written, objects.get(keyOf(change)));
    if (step === undefined) {
      stuck.push(change);
      return [];
    }
    origins.set(step, { change, isWhole });
    return [step];
  };
  const files = byFile.flatMap(([path, group]) => {
    const due = group.filter((change) => turnOf(change) !== undefined && laterPhaseOf(change) === phase);
    const steps = due.flatMap(stepOf);
    return steps.length === 0 ? [] : [[path, steps] as const];
  });
  return { files, origins, stuck };
}

function laterPhaseOf(change: Change): WritePhase {
  return change.kind === "delete" ? "lettingGo" : phaseOf(change);
}
