import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Hold } from "../model/plan.ts";
import type { WriteReport } from "../model/target.ts";

/** Says what is held or refused when it begins and when it ends, not in each pass. */
export interface HoldLog {
  /** @param unread registries whose list could not be read: said once for each of them, not for each of their services */
  record(holds: readonly Hold[], report: WriteReport, unread: ReadonlySet<string>): void;
}

export function createHoldLog(log: Log, metrics: Metrics): HoldLog {
  let held = new Map<string, Hold>();
  let counted: readonly Hold[] = [];
  let refused = new Map<string, string>();
  return {
    record(holds, { results }, unread) {
      const said = holds.filter(({ reason, registry }) => reason !== "unread" || !unread.has(registry));
      const now = new Map(said.map((hold) => [`${hold.reason} ${hold.subject}`, hold]));
      for (const [key, { reason, subject, service, message }] of now) {
        if (!held.has(key)) log.warn({ reason, subject, service, why: message }, "held");
      }
      for (const [key, { reason, subject }] of held) if (!now.has(key)) log.info({ reason, subject }, "no longer held");
      countHolds(counted, holds);
      counted = holds;
      held = now;
      const failed = new Map<string, string>();
      for (const { change, outcome, error } of results) {
        metrics.passChanges.inc({ kind: change.kind, outcome });
        if (outcome !== "failed") continue;
        const key = change.kind === "delete" ? change.standing.key : change.object.key;
        const why = String(error instanceof Error ? error.message : error);
        failed.set(key, why);
        if (refused.get(key) !== why) log.error({ object: key, error }, "an object could not be written");
      }
      refused = failed;
    },
  };

  function countHolds(before: Iterable<Hold>, now: Iterable<Hold>): void {
    for (const { reason } of before) metrics.passHeld.set({ reason }, 0);
    for (const { reason } of now) metrics.passHeld.inc({ reason });
  }
}
