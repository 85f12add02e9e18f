import { backOffMs } from "../async/back-off.ts";
import { describeError } from "../errors.ts";
import type { ObjectKey, OwnedObject } from "../model/objects.ts";
import type { Change, Hold, Plan } from "../model/plan.ts";
import type { StandingObject } from "../model/standing.ts";
import type { WriteReport } from "../model/target.ts";
import { isCompanion } from "../plan/standing.ts";

/** Keeps what the target refuses from being sent again and again. */
export interface Refusals {
  /** Whether a change may be sent now: what is refused again and again is tried ever more rarely, until it is another, or what stands. */
  isDue(change: Change): boolean;
  /** Without what may not be sent now and what depends on it; what was refused often enough to be no accident is held. */
  sift<Planned extends Plan>(plan: Planned): Planned;
  record(report: WriteReport): void;
  /** Milliseconds until the next change may be sent again; infinite when none waits. */
  msUntilDue(): number;
}

interface Refusal {
  /** The same service in the same state is the same object. */
  readonly wish: OwnedObject | StandingObject;
  /** What was to be changed. */
  readonly standing: StandingObject | undefined;
  readonly times: number;
  readonly dueMs: number;
  readonly why: string;
}

/** The same object is tried so often at once. */
const FREE = 3;
const WAIT = { firstMs: 1000, mostMs: 30_000 };

/** @param nowMs never goes back */
export function createRefusals(nowMs = () => performance.now()): Refusals {
  const refused = new Map<ObjectKey, Refusal>();

  function refusalOf(change: Change): Refusal | undefined {
    const refusal = refused.get(keyOf(change));
    return refusal?.wish === wishOf(change) && refusal.standing === standingOf(change) ? refusal : undefined;
  }

  const isDue = (change: Change) => (refusalOf(change)?.dueMs ?? 0) <= nowMs();

  return {
    isDue,
    sift(plan) {
      if (refused.size === 0) return plan;
      const all = [...plan.create, ...plan.update, ...plan.delete];
      const keys = new Set(all.map(keyOf));
      for (const key of refused.keys()) if (!keys.has(key)) refused.delete(key);
      const waiting = new Set(all.filter((change) => !isDue(change)));
      const blocked = blockedBy(waiting, all);
      const isSent = (change: Change) => !waiting.has(change) && !blocked.has(change);
      const hold = all.flatMap((change) => {
        const refusal = refusalOf(change);
        return refusal === undefined || refusal.times < FREE ? [] : [holdOf(change, refusal)];
      });
      return {
        ...plan,
        create: plan.create.filter(isSent),
        update: plan.update.filter(isSent),
        delete: plan.delete.filter(isSent),
        hold: [...plan.hold, ...hold],
      };
    },
    record({ results }) {
      for (const { change, outcome, error } of results) {
        const key = keyOf(change);
        if (outcome === "failed") {
          const times = (refusalOf(change)?.times ?? 0) + 1;
          const waitMs = times < FREE ? 0 : backOffMs(times - FREE + 1, WAIT);
          const [wish, standing] = [wishOf(change), standingOf(change)];
          refused.set(key, { wish, standing, times, dueMs: nowMs() + waitMs, why: describeError(error) });
        } else if (outcome !== "skipped") refused.delete(key);
      }
    },
    msUntilDue() {
      const dues = [...refused.values()].filter(({ times }) => times >= FREE).map(({ dueMs }) => dueMs);
      return dues.reduce((least, dueMs) => Math.min(least, Math.max(0, dueMs - nowMs())), Number.POSITIVE_INFINITY);
    },
  };
}

/** Nothing may point to an entry that is not made, and no entry may go while something points to it. */
function blockedBy(waiting: ReadonlySet<Change>, all: readonly Change[]): ReadonlySet<Change> {
  if (waiting.size === 0) return waiting;
  const of = (kind: Change["kind"], isOfEntry: boolean) =>
    new Set([...waiting].filter((one) => one.kind === kind && isEntry(one) === isOfEntry).map(serviceOf));
  const [unmade, pointedTo] = [of("create", true), of("delete", false)];
  return new Set(
    all.filter(
      (change) =>
        (change.kind === "create" && !isEntry(change) && unmade.has(serviceOf(change))) ||
        (change.kind === "delete" && isEntry(change) && pointedTo.has(serviceOf(change))),
    ),
  );
}

function holdOf(change: Change, { why }: Refusal): Hold {
  const { key, registry, service } = change.kind === "delete" ? change.standing : change.object;
  return { reason: "refused", subject: key, service, registry, message: `it is retried at growing intervals: ${why}` };
}

function isEntry(change: Change): boolean {
  const { kind, metadata } = (change.kind === "delete" ? change.standing : change.object).manifest;
  return kind === "ServiceEntry" && !isCompanion(metadata);
}

function serviceOf(change: Change): string | undefined {
  return change.kind === "delete" ? change.standing.service : change.object.service;
}

function keyOf(change: Change): ObjectKey {
  return change.kind === "delete" ? change.standing.key : change.object.key;
}

function wishOf(change: Change): OwnedObject | StandingObject {
  return change.kind === "delete" ? change.standing : change.object;
}

function standingOf(change: Change): StandingObject | undefined {
  return change.kind === "create" ? undefined : change.standing;
}
