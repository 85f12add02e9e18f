import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { OwnedObject } from "../model/objects.ts";
import type { Change, Create, Update } from "../model/plan.ts";
import type { Notice, WriteReport } from "../model/target.ts";

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
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 300_000;
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
  metrics: Metrics,
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
      const waitMs = over < 0 ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** over);
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
            "someone keeps changing an object of ours; it is put back more and more rarely",
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
      if (repaired.length > MOST_LINES) log.warn({ unsaid: repaired.length - MOST_LINES }, "more were put back");
      return repaired.map(noticeOf);
    },
  };
}

function noticeOf({ kind, object }: Create | Update): Notice {
  const what = kind === "create" ? "deleted" : "changed";
  return {
    reason: "PutBack",
    subject: object.key,
    message: `someone ${what} it; it is kept as its registry says: x2istio release leaves it to others`,
    regarding: object.key,
  };
}
