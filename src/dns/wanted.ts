import type { Wanted } from "./events.ts";

/** The same service is told of so often at most. */
const QUIET_MS = 1000;
/** Services told of within that time; in a storm, further ones are told of by a later question. */
const MOST_TOLD = 10_000;

/** Tell of each service that is wanted at once, but not again for every further question of the same second. */
export function tellWanted(tell: (wanted: Wanted) => void, nowMs = () => performance.now()): (wanted: Wanted) => void {
  const told = new Set<string>();
  let sinceMs = Number.NEGATIVE_INFINITY;
  return (wanted) => {
    if (nowMs() - sinceMs >= QUIET_MS) {
      told.clear();
      sinceMs = nowMs();
    }
    if (told.has(wanted.service) || told.size >= MOST_TOLD) return;
    told.add(wanted.service);
    tell(wanted);
  };
}
