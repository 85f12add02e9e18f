import { setImmediate as turnOfLoop } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { describeError } from "../../src/errors.ts";
import { parseServiceKey, serviceKey } from "../../src/model/service.ts";
import { toService } from "../shapes/service.ts";
import { type Composed, changed, type Part, type State } from "./catalog-state.ts";

import { spellingOf } from "./spelling.ts";
import { healthPath } from "./tables.ts";

/** Services that are composed in one turn of the event loop: together they take a few milliseconds. */
const PER_TURN = 128;

/** Compose services one after the other, and let other work go on in between. */
export async function composeAll(state: State, services: readonly string[]): Promise<void> {
  for (const [at, service] of services.entries()) {
    if (at % PER_TURN === PER_TURN - 1) await turnOfLoop();
    compose(state, service);
  }
}

/** Make of one service what all datacenters say of it now. */
export function compose(state: State, service: string): void {
  const { composed, good } = state;
  const before = composed.get(service);
  const after = composeNow(state, service, before);
  release(state, service);
  if (after === before) return;
  changed(state);
  if (after === undefined) {
    composed.delete(service);
    good.delete(service);
  } else composed.set(service, after);
  if ((before === undefined) !== (after === undefined)) state.sorted = undefined;
}

/** The instances are wanted again only to join those of several datacenters. */
function release({ kept }: State, service: string): void {
  if (kept.size > 1) return;
  for (const { parts } of kept.values()) {
    const part = parts.get(service);
    if (part?.state === "ok") parts.set(service, { ...part, instances: [], besides: [] });
  }
}

function composeNow(state: State, service: string, before: Composed | undefined): Composed | undefined {
  const entries = [...state.kept.values()];
  const listing = entries.filter(({ services }) => services?.has(service) === true);
  if (listing.length === 0 && before === undefined) return undefined;
  const lost = entries.find((one) => one.lost !== undefined && one.services?.has(service) !== false);
  const name = spelled(state, service, before);
  if (lost !== undefined) return failed(state, name, lost.lost, before);
  if (listing.length === 0) return undefined;
  const parts = listing.flatMap(({ parts: all }) => all.get(service) ?? []);
  const broken = parts.find((part) => part.state === "failed");
  if (broken !== undefined) return failed(state, name, broken.cause, before);
  const usable = parts.filter((part) => part.state === "ok");
  const [skipped] = parts.filter((part) => part.state === "skipped");
  if (usable.length > 0 || skipped === undefined) return joined(state, { service, name }, usable, before);
  state.good.delete(service);
  return before?.state === "skipped" && before.why === skipped.why ? before : { state: "skipped", why: skipped.why };
}

/** How a service is written: as its datacenters list it, else as before. */
function spelled({ kept }: State, service: string, before: Composed | undefined): string {
  const listed = [...kept.values()].flatMap(({ services, spellings }) =>
    services?.has(service) === true ? [spellings.get(service) ?? service] : [],
  );
  if (listed.length > 0) return spellingOf(listed);
  if (before?.state === "ok") return before.service.name;
  return before?.state === "failed" ? (parseServiceKey(before.key)?.name ?? service) : service;
}

/** Call a service as it is written now. What is known of it stays: its instances may have been let go. */
export function respell(state: State, service: string): void {
  const before = state.composed.get(service);
  const name = spelled(state, service, before);
  if (before?.state === "failed") state.composed.set(service, failed(state, name, before.cause, before));
  if (before?.state === "ok" && before.service.name !== name) {
    const source = before.service.source.replace(healthPath(before.service.name), healthPath(name));
    const now = { ...before.service, name, source };
    state.good.set(service, now);
    state.composed.set(service, { state: "ok", service: now });
  }
  if (state.composed.get(service) !== before) changed(state);
}

function joined(
  { options: { registry, namespace, pool, rules, allUnhealthy = "drop" }, good }: State,
  { service, name }: { readonly service: string; readonly name: string },
  parts: readonly Extract<Part, { state: "ok" }>[],
  before: Composed | undefined,
): Composed {
  const instances = parts.flatMap((part) => part.instances);
  const besides = parts.flatMap((part) => part.besides);
  const datacenters = [...new Set(parts.map(({ datacenter }) => datacenter))].filter((name) => name !== "");
  const path = healthPath(name);
  const source = datacenters.length === 0 ? path : `${path} in ${datacenters.join(", ")}`;
  const now = toService({ registry, namespace, name, source }, instances, besides, { pool, allUnhealthy, rules });
  const last = good.get(service);
  const same = last !== undefined && isDeepStrictEqual(last, now) ? last : now;
  good.set(service, same);
  return before?.state === "ok" && before.service === same ? before : { state: "ok", service: same };
}

function failed(
  { options: { registry, namespace } }: State,
  name: string,
  cause: unknown,
  before: Composed | undefined,
): Composed {
  const key = serviceKey(registry, namespace, name);
  const isSame =
    before?.state === "failed" && before.key === key && describeError(before.cause) === describeError(cause);
  return isSame ? before : { state: "failed", key, cause };
}
