import { backOffMs } from "../async/back-off.ts";
import type { Log } from "../log.ts";
import type { OwnedObject } from "../model/objects.ts";
import type { Change, Create, Update } from "../model/plan.ts";
import type { Notice, WriteReport } from "../model/target.ts";
import type { ControllerMetrics } from "./metrics.ts";

/** Keeps count of what others do to our objects. */
export interface Repairs {
  /** Whether a change may be written now: what someone keeps changing is put back ever more rarely. */
  isDue(change: Change): boolean;
  /** Count and log what was put back, and give what is to be told of it. */
  record(report: WriteReport): readonly Notice[];
}

interface History {
  readonly times: number;
  readonly atMs: number;
}

/** The same object is written so often at once. */
const FREE = 3;
const WAIT = { firstMs: 1000, mostMs: 300_000 };
/** After so long without a write all is forgotten. */
const FORGET_MS = 900_000;
const MOST_LINES = 20;

/**
 * @param hasStood whether an object stood just so before, so that someone else must have changed or deleted it
 * @param nowMs never goes back
 */
export function createRepairs(
  hasStood: (object: OwnedObject) => boolean,
  log: Log,
  metrics: ControllerMetrics,
  nowMs = () => performance.now(),
): Repairs {
  /** By what should stand: the same service in the same state is the same object. */
  const written = new WeakMap<OwnedObject, History>();

  function timesOf(object: OwnedObject): number {
    const { times = 0, atMs = 0 } = written.get(object) ?? {};
    return nowMs() - atMs > FORGET_MS ? 0 : times;
  }

  return {
    isDue(change) {
      if (change.kind === "delete") return true;
      const over = timesOf(change.object) - FREE;
      const waitMs = over < 0 ? 0 : backOffMs(over + 1, WAIT);
      return nowMs() - (written.get(change.object)?.atMs ?? Number.NEGATIVE_INFINITY) >= waitMs;
    },
    record({ results }) {
      const repaired: (Create | Update)[] = [];
      for (const { change, outcome } of results) {
        if (change.kind === "delete" || outcome !== "written") continue;
        const times = timesOf(change.object) + 1;
        written.set(change.object, { times, atMs: nowMs() });
        if (times === FREE + 1)
          log.warn(
            { object: change.object.key },
            "someone keeps changing an object of ours; it is put back at growing intervals",
          );
        if (!hasStood(change.object)) continue;
        repaired.push(change);
        metrics.targetDrift.inc({ kind: change.object.manifest.kind });
      }
      for (const { object } of repaired.slice(0, MOST_LINES))
        log.warn(
          { object: object.key, service: object.service },
          "someone changed or deleted an object of ours; it was put back",
        );
      if (repaired.length > MOST_LINES)
        log.warn({ unsaid: repaired.length - MOST_LINES }, "more objects were put back");
      return repaired.map(noticeOf);
    },
  };
}

function noticeOf({ kind, object }: Create | Update): Notice {
  const what = kind === "create" ? "deleted" : "changed";
  return {
    reason: "PutBack",
    subject: object.key,
    message: `someone ${what} it; it was put back to what its registry says: to leave it to others, use x2istio release`,
    regarding: object.key,
  };
}
