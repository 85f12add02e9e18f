import type { Log } from "../log.ts";
import type { Brake } from "../model/plan.ts";
import type { Notice } from "../model/target.ts";

/** Since when the brakes of registries have been on, as far as this process knows. */
export interface BrakeTimes {
  /** Registries whose brake has been on for long enough. */
  released(nowMs: number): readonly string[];
  /** Note which brakes are on after a decision; gives the registries that were released by it. */
  record(brakes: readonly Brake[], nowMs: number): readonly string[];
}

/** @param releaseAfterMs never if left out */
export function createBrakeTimes(releaseAfterMs = Number.POSITIVE_INFINITY): BrakeTimes {
  const since = new Map<string, number>();
  const released = (nowMs: number) =>
    [...since].filter(([, sinceMs]) => nowMs - sinceMs >= releaseAfterMs).map(([registry]) => registry);
  return {
    released,
    record(brakes, nowMs) {
      const on = new Set(brakes.map(({ registry }) => registry));
      const obeyed = released(nowMs).filter((registry) => !on.has(registry));
      for (const registry of since.keys()) if (!on.has(registry)) since.delete(registry);
      for (const registry of on) if (!since.has(registry)) since.set(registry, nowMs);
      return obeyed;
    },
  };
}

/** Says when a brake goes on and when it is off again, not in each pass; what it keeps back is said apart. */
export function createBrakeLog(log: Log): { record(brakes: readonly Brake[]): void } {
  let known = new Map<string, Brake>();
  return {
    record(brakes) {
      const now = new Map(brakes.map((brake) => [`${brake.registry} ${brake.kind}`, brake]));
      for (const [key, { registry, kind, message }] of now)
        if (!known.has(key)) log.warn({ registry, kind, why: message }, "a brake is on");
      for (const [key, { registry, kind }] of known)
        if (!now.has(key)) log.info({ registry, kind }, "a brake is off again");
      known = now;
    },
  };
}

/** What people are told of a brake. */
export function brakeNotice({ registry, kind, message }: Brake): Notice {
  return {
    reason: "BrakeOn",
    subject: `${registry} ${kind}`,
    message: `${message}; x2istio apply --allow-deletes ${registry} releases it`,
  };
}
