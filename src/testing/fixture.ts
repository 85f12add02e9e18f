import assert from "node:assert/strict";
import { describeError } from "../errors.ts";
import type { Probe, View } from "./probe.ts";
import type { StartWorld } from "./world.ts";

/** One thing that every adapter must do. */
export interface Check {
  readonly name: string;
  /** What the world must be able to do, besides what every one can. */
  readonly needs?: "breakService" | "denyService" | "setHealthy" | "shuffle" | "waitForChange";
  /** @throws AssertionError when the adapter does not do it. `start` makes further worlds. */
  run(probe: Probe, start: StartWorld): Promise<void>;
}

/** The services that checks begin with, by name with their endpoints. */
export const FIXTURE = {
  orders: ["192.0.2.1", "192.0.2.2"],
  payments: ["192.0.2.11"],
  stock: ["192.0.2.21", "192.0.2.22"],
} as const;

/** An endpoint that comes to `orders`. */
export const FURTHER = "192.0.2.3";

/** The fixture with one endpoint more. */
export const GROWN = { ...FIXTURE, orders: [...FIXTURE.orders, FURTHER] };

/** Put the fixture into an empty world, and wait until it is read and at rest. */
export async function fill(probe: Probe): Promise<View> {
  for (const [name, addresses] of Object.entries(FIXTURE)) await probe.world.addService(name, addresses);
  await probe.untilEndpoints(FIXTURE);
  return probe.stable();
}

/** These services are the same objects as before. */
export function mustKeep(before: View, after: View, names: readonly string[]): void {
  for (const name of names) {
    const failure = after.failed.get(name);
    assert.ok(failure === undefined, `${name} has not changed and failed: ${describeError(failure)}`);
    assert.equal(after.ok.get(name), before.ok.get(name), `${name} has not changed and is another object`);
  }
}

/** A complete snapshot without a service says that it is gone. */
export function mustSpeakOf({ ok, failed }: View, name: string): void {
  assert.ok(ok.has(name) || failed.has(name), `${name} is still there and is taken for gone`);
}
