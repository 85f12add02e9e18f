import type { Notice } from "../model/target.ts";
import type { Brake } from "../plan/policy.ts";

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

/** What people are told of a brake. */
export function brakeNotice({ registry, kind, message }: Brake): Notice {
  return {
    reason: "BrakeOn",
    subject: `${registry} ${kind}`,
    message: `${message}; x2istio apply --allow-deletes ${registry} releases it`,
  };
}
