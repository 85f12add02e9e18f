import { finish } from "../../src/async/slices.ts";
import type { OwnedObject } from "../../src/model/objects.ts";
import type { Settings } from "../../src/model/settings.ts";
import { decide } from "../../src/plan/decide.ts";
import type { Decision, DecisionInput } from "../../src/plan/decision.ts";
import { type PlanMemory, planMemory } from "../../src/plan/memory.ts";
import * as hosts from "../../src/plan/names/name-hosts.ts";
import * as table from "../../src/plan/names/name-table.ts";
import * as objects from "../../src/plan/objects/build-objects.ts";
import * as changes from "../../src/plan/plan.ts";
import * as vips from "../../src/plan/vips/allocate-vips.ts";

// The stages that compute in slices, at once.
export const nameHosts = (...args: Parameters<typeof hosts.nameHosts>) => finish(hosts.nameHosts(...args));
export const allocateVips = (...args: Parameters<typeof vips.allocateVips>) => finish(vips.allocateVips(...args));
export const buildObjects = (...args: Parameters<typeof objects.buildObjects>) => finish(objects.buildObjects(...args));
export const plan = (...args: Parameters<typeof changes.plan>) => finish(changes.plan(...args));
export const buildNameTable = (...args: Parameters<typeof table.buildNameTable>) =>
  finish(table.buildNameTable(...args));

/** Decides again and again, with one memory. */
export function decider(settings: Settings): (input: DecisionInput) => Decision {
  const memory = planMemory();
  return (input) => decide(settings, input, memory);
}

/** A memory of parts of a decision. */
export function remembering(parts: Partial<Decision>): PlanMemory {
  return { ...planMemory(), decision: parts as Decision };
}

/** All desired objects. */
export function objectsOf({ objects }: Pick<Decision["desired"], "objects">): readonly OwnedObject[] {
  return [...objects.values()].flat();
}
