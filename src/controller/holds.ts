import type { Log } from "../log.ts";
import type { Hold } from "../model/plan.ts";
import type { WriteReport } from "../model/target.ts";
import type { ControllerMetrics } from "./metrics.ts";

/** Says what is held or refused when it begins and when it ends, not in each pass. */
export interface HoldLog {
  /**
   * @param unread registries whose list could not be read, or only in part: said once for each of them, not for each of their services that is
   * held for the same reason; without a reason for none of their services
   */
  record(holds: readonly Hold[], report: WriteReport, unread: ReadonlyMap<string, string | undefined>): void;
}

/** Lines of each kind for one pass: a registry or a tenant must not be able to fill the log. */
const MOST_LINES = 20;
const MOST_KNOWN = 10_000;

export function createHoldLog(log: Log, metrics: ControllerMetrics): HoldLog {
  let held = new Map<string, Hold>();
  let counted: readonly Hold[] = [];
  /** What was refused and has not been written since. */
  const refused = new Map<string, string>();
  return {
    record(holds, report, unread) {
      // What was decided on single services leaves the list as it is.
      if (holds !== counted) recordHolds(holds, unread);
      recordResults(report);
    },
  };

  function recordHolds(holds: readonly Hold[], unread: ReadonlyMap<string, string | undefined>): void {
    const said = holds.filter(({ reason, registry, message }) => {
      const why = unread.get(registry);
      return reason !== "unread" || !unread.has(registry) || (why !== undefined && !message.includes(why));
    });
    const now = new Map(said.map((hold) => [`${hold.reason} ${hold.subject}`, hold]));
    const begun = [...now].filter(([key]) => !held.has(key));
    const ended = [...held].filter(([key]) => !now.has(key));
    for (const [, { reason, subject, service, message }] of begun.slice(0, MOST_LINES)) {
      log.warn({ reason, subject, service, why: message }, "held");
    }
    for (const [, { reason, subject }] of ended.slice(0, MOST_LINES)) log.info({ reason, subject }, "no longer held");
    const unsaid = Math.max(0, begun.length - MOST_LINES) + Math.max(0, ended.length - MOST_LINES);
    if (unsaid > 0) log.warn({ unsaid }, "more holds began or ended; x2istio plan shows all");
    countHolds(counted, holds);
    counted = holds;
    held = now;
  }

  function recordResults({ results }: WriteReport): void {
    for (const { change, outcome, error } of results) {
      metrics.passChanges.inc({ kind: change.kind, outcome });
      const key = change.kind === "delete" ? change.standing.key : change.object.key;
      const why = String(error instanceof Error ? error.message : error);
      const isNews = outcome === "failed" && refused.get(key) !== why;
      refused.delete(key);
      if (isNews) log.error({ object: key, error }, "an object could not be written");
      if (outcome === "failed") remember(key, why);
    }
  }

  function remember(key: string, why: string): void {
    const [oldest] = refused.keys();
    if (refused.size >= MOST_KNOWN && oldest !== undefined) refused.delete(oldest);
    refused.set(key, why);
  }

  function countHolds(before: Iterable<Hold>, now: Iterable<Hold>): void {
    for (const { reason } of before) metrics.passHeld.set({ reason }, 0);
    for (const { reason } of now) metrics.passHeld.inc({ reason });
  }
}
