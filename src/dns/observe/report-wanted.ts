import type { Wanted } from "./hooks.ts";

/** The same service is reported once in this time. */
const QUIET_MS = 1000;
/** Services reported within that time; under a flood, further ones are reported by a later question. */
const MOST_REPORTED = 10_000;

/** Report each wanted service at once, but not again for every further question of the same second. */
export function reportWanted(
  report: (wanted: Wanted) => void,
  nowMs = () => performance.now(),
): (wanted: Wanted) => void {
  const reported = new Set<string>();
  let sinceMs = Number.NEGATIVE_INFINITY;
  return (wanted) => {
    if (nowMs() - sinceMs >= QUIET_MS) {
      reported.clear();
      sinceMs = nowMs();
    }
    if (reported.has(wanted.service) || reported.size >= MOST_REPORTED) return;
    reported.add(wanted.service);
    report(wanted);
  };
}
