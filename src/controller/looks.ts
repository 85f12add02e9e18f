import { type Changes, createChanges } from "../async/changes.ts";
import type { Decision } from "../plan/decision.ts";

/** Reads of one registry that somebody waits for. */
export interface Looks {
  /** Counts demands for a read, scheduled ones too. */
  readonly due: Changes;
  /** Whether somebody waits for a read that has not ended. */
  isAwaited(): boolean;
  /** A read has ended that began when `due` was at this version. */
  ended(version: number): void;
  /**
   * Have the registry read anew, and wait until it was, well or not. Within two seconds of the last time only what is under way is
   * waited for: whoever asks for what is not there must not have everything read again and again.
   *
   * @throws The signal's reason when it aborts.
   */
  look(signal: AbortSignal): Promise<void>;
}

const GAP_MS = 2000;

/** @param now performance.now(), which never goes back */
export function createLooks(now: () => number = () => performance.now()): Looks {
  const due = createChanges();
  const ends = createChanges();
  let endedVersion = 0;
  let askedVersion = 0;
  let askedMs = Number.NEGATIVE_INFINITY;
  return {
    due,
    isAwaited: () => endedVersion < askedVersion,
    ended(version) {
      endedVersion = Math.max(endedVersion, version);
      ends.notify();
    },
    async look(signal) {
      if (now() - askedMs >= GAP_MS) {
        askedMs = now();
        due.notify();
        askedVersion = due.version();
      }
      const wanted = askedVersion;
      while (endedVersion < wanted) await ends.wait(ends.version(), signal);
    },
  };
}

/** The last decision, on everything or in part. */
export interface Decided {
  /** Undefined before the first one. */
  latest(): Decision | undefined;
  /** @param readings version of the readings that it was made from */
  keep(decision: Decision, readings: number): void;
  /** Wait until one was made from readings of this version, or a later one. @throws The signal's reason when it aborts. */
  untilMadeFrom(readings: number, signal: AbortSignal): Promise<void>;
}

export function createDecided(): Decided {
  const changes = createChanges();
  let latest: Decision | undefined;
  let madeFrom = -1;
  return {
    latest: () => latest,
    keep(decision, readings) {
      latest = decision;
      madeFrom = readings;
      changes.notify();
    },
    async untilMadeFrom(readings, signal) {
      while (madeFrom < readings) await changes.wait(changes.version(), signal);
    },
  };
}
