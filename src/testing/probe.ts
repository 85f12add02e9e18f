import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { checkEnvelope, readJudge } from "../../adapters/trust.ts";
import { describeError } from "../errors.ts";
import type { Snapshot } from "../model/adapter.ts";
import { parseServiceKey, type Service, type ServiceKey } from "../model/service.ts";
import type { AdapterWorld } from "./world.ts";

/** What one read said, by the services' own names. */
export interface View {
  readonly snapshot: Snapshot;
  readonly ok: ReadonlyMap<string, Service>;
  readonly failed: ReadonlyMap<string, unknown>;
}

/** How one read ended. */
export type Outcome = { readonly view: View } | { readonly view?: never; readonly error: unknown };

/** Reads a world's adapter and checks everything it says. */
export interface Probe {
  readonly world: AdapterWorld;
  /** How long the adapter may take to see a change. */
  readonly waitMs: number;
  /** @throws AssertionError when the snapshot breaks a rule, which no repetition changes. */
  read(trigger?: "poll" | "hint"): Promise<Outcome>;
  /** Read until `holds`. */
  until(what: string, holds: (outcome: Outcome) => boolean, trigger?: "poll" | "hint"): Promise<Outcome>;
  /** Read until the services stand so: endpoint addresses by name, and all of it known. */
  untilEndpoints(want: Readonly<Record<string, readonly string[]>>): Promise<View>;
  /** Read until two reads in a row are the same. */
  stable(): Promise<View>;
}

const GAP_MS = 50;

/** A probe on the world's adapter, which is told that the services of these keys stand. */
export function probeOf(world: AdapterWorld, waitMs: number, standing: readonly ServiceKey[] = []): Probe {
  const { adapter } = world;

  async function read(trigger: "poll" | "hint" = "poll"): Promise<Outcome> {
    let snapshot: Snapshot;
    try {
      snapshot = await adapter.read(new AbortController().signal, { trigger, standing: () => standing });
    } catch (error) {
      return { error };
    }
    return { view: viewOf(snapshot, adapter.registry) };
  }

  async function until(
    what: string,
    holds: (outcome: Outcome) => boolean,
    trigger: "poll" | "hint" = "poll",
  ): Promise<Outcome> {
    const endMs = performance.now() + waitMs;
    for (;;) {
      const outcome = await read(trigger);
      if (holds(outcome)) return outcome;
      if (performance.now() > endMs) assert.fail(`within ${waitMs} ms ${what}; the last read said ${summary(outcome)}`);
      await delay(GAP_MS);
    }
  }

  async function untilEndpoints(want: Readonly<Record<string, readonly string[]>>): Promise<View> {
    const wanted = JSON.stringify(sortedEntries(want));
    const outcome = await until(`the services must be ${wanted}`, ({ view }) => {
      if (view === undefined || view.snapshot.incomplete !== undefined || view.failed.size > 0) return false;
      return JSON.stringify(sortedEntries(addressesOf(view))) === wanted;
    });
    return outcome.view ?? assert.fail("unreachable");
  }

  async function stable(): Promise<View> {
    const endMs = performance.now() + waitMs;
    let before = await mustRead();
    for (;;) {
      await delay(GAP_MS);
      const after = await mustRead();
      const difference = firstDifference(before, after);
      if (difference === undefined) return after;
      if (performance.now() > endMs) assert.fail(`nothing had changed for ${waitMs} ms, but ${difference}`);
      before = after;
    }
  }

  async function mustRead(): Promise<View> {
    const outcome = await read();
    return outcome.view ?? assert.fail(`an unchanged registry must be readable: ${describeError(outcome.error)}`);
  }

  return { world, waitMs, read, until, untilEndpoints, stable };
}

/** What differs between two views, in one sentence; `undefined` when they have the same revision, objects and order. */
export function firstDifference(before: View, after: View): string | undefined {
  if (before.snapshot.revision !== after.snapshot.revision)
    return `revision ${JSON.stringify(before.snapshot.revision)} became ${JSON.stringify(after.snapshot.revision)}`;
  return differentServices(before, after);
}

/** Like {@link firstDifference}, whatever the revisions. */
export function differentServices(before: View, after: View): string | undefined {
  const [names, others] = [[...before.ok.keys()], [...after.ok.keys()]];
  if (names.join() !== others.join()) return `the order ${names.join()} became ${others.join()}`;
  const moved = names.find((name) => before.ok.get(name) !== after.ok.get(name));
  return moved === undefined ? undefined : `service ${moved} is another object`;
}

/** Check a snapshot like one of an adapter that nobody trusts. */
function viewOf(snapshot: Snapshot, registry: string): View {
  checkEnvelope(snapshot, registry);
  const judge = readJudge({ registry, legacyNames: true });
  const [ok, failed] = [new Map<string, Service>(), new Map<string, unknown>()];
  for (const read of snapshot.services) {
    const judged = judge(read);
    if (judged.state === "nameless") assert.fail(judged.fault);
    const name = parseServiceKey(judged.key)?.name ?? "";
    assert.ok(!ok.has(name) && !failed.has(name), `${judged.key} occurs twice in one snapshot`);
    if (read.state === "failed") {
      assert.notEqual(describeError(read.cause), "", `the failed read of ${judged.key} must say why`);
      failed.set(name, read.cause);
      continue;
    }
    if (judged.state === "failed") assert.fail(judged.cause.message);
    assert.deepEqual(read.service, judged.service, `${judged.key} must be written as it is kept`);
    ok.set(name, read.service);
  }
  return { snapshot, ok, failed };
}

function addressesOf({ ok }: View): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries([...ok].map(([name, { endpoints }]) => [name, endpoints.map(({ address }) => address)]));
}

function sortedEntries(addresses: Readonly<Record<string, readonly string[]>>): unknown {
  return Object.entries(addresses)
    .map(([name, list]): [string, readonly string[]] => [name, [...list].sort()])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function summary(outcome: Outcome): string {
  if (outcome.view === undefined) return describeError(outcome.error);
  const { snapshot, failed } = outcome.view;
  const known = JSON.stringify(sortedEntries(addressesOf(outcome.view)));
  const doubts = [...failed].map(([name, cause]) => `${name} failed: ${describeError(cause)}`);
  return [known, ...doubts, ...(snapshot.incomplete === undefined ? [] : [`incomplete: ${snapshot.incomplete}`])].join(
    "; ",
  );
}
