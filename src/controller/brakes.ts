import type { Log } from "../log.ts";
import type { Brake, PolicedPlan } from "../model/plan.ts";
import type { Notice } from "../model/target.ts";

/** What a brake log is told of a plan. */
type Brakes = Pick<PolicedPlan, "brakes" | "released">;

/** Says when a brake goes on, ends by itself and is off again, not in each pass; what it keeps back is said apart. */
export function createBrakeLog(log: Log): { record(plan: Brakes): void } {
  let known = new Map<string, Brake>();
  let ended = new Set<string>();
  return {
    record({ brakes, released }) {
      for (const { registry, kind, message } of released)
        if (!ended.has(`${registry} ${kind}`))
          log.warn(
            { registry, kind, why: message },
            "the registry's brake was on for policy.releaseAfter and has been released",
          );
      ended = new Set(released.map(({ registry, kind }) => `${registry} ${kind}`));
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
