import { isDeepStrictEqual } from "node:util";
import { describeError } from "../../src/errors.ts";
import type { ServiceRead, SkipKind, SkippedService, Snapshot } from "../../src/model/adapter.ts";
import { MOST_SKIPPED } from "../shapes/skipped.ts";
import {
  type CatalogOptions,
  changed,
  keptOf,
  type Listed,
  type Member,
  NONE_SKIPPED,
  newState,
  type Part,
  type State,
} from "./catalog-state.ts";
import { compose, composeAll, respell } from "./compose.ts";

/** All that is known of the registry, service by service. Unchanged services stay the same objects. */
export interface Catalog {
  /** Count a datacenter in. All are, before the first is read. */
  add(member: Member): void;
  put(member: Member, service: string, part: Part): void;
  /** Take in the list of a datacenter's services. Each of them has been put before. Many new ones are taken in by and by. */
  list(member: Member, list: Listed): Promise<void>;
  /** The services of a datacenter are not known at the moment, so none that it may have is. */
  lose(member: Member, cause: unknown): void;
  /** Counts up with every change of what `snapshot` says. */
  version(): number;
  snapshot(): Snapshot;
}

/** The catalog of one registry. */
export function catalog(options: CatalogOptions): Catalog {
  const state = newState(options);
  return {
    add(member) {
      const empty = { skipped: NONE_SKIPPED, skippedServices: [], incomplete: undefined, lost: undefined };
      state.kept.set(member, { services: undefined, spellings: new Map(), parts: new Map(), ...empty });
    },
    put(member, service, part) {
      const { parts, services } = keptOf(state, member);
      parts.set(service, part);
      if (services?.has(service) === true) compose(state, service);
    },
    list: (member, listed) => list(state, member, listed),
    lose: (member, cause) => lose(state, member, cause),
    snapshot: () => snapshotOf(state),
    version: () => state.version,
  };
}

async function list(
  state: State,
  member: Member,
  { names, spellings = new Map(), skipped, skippedServices = [], incomplete }: Listed,
): Promise<void> {
  const entry = keptOf(state, member);
  const before = entry.services ?? new Set();
  const spelledBefore = entry.spellings;
  const wasLost = entry.lost !== undefined || entry.services === undefined;
  const isOther = !isDeepStrictEqual(entry.skippedServices, skippedServices);
  if (entry.incomplete !== incomplete || entry.skipped.filter !== skipped.filter || isOther || wasLost) changed(state);
  Object.assign(entry, { services: names, spellings, skipped, skippedServices, incomplete, lost: undefined });
  for (const service of before) {
    if (names.has(service)) continue;
    entry.parts.delete(service);
    compose(state, service);
  }
  // Also those that an earlier list, broken off, did not come to.
  const isNew = (service: string) => !before.has(service) || !state.composed.has(service);
  for (const service of before)
    if (names.has(service) && spellings.get(service) !== spelledBefore.get(service)) respell(state, service);
  await composeAll(state, [...names].filter(isNew));
  if (wasLost && state.kept.size > 1) await composeAll(state, [...state.composed.keys()]);
}

function lose(state: State, member: Member, cause: unknown): void {
  const entry = keptOf(state, member);
  const why = describeError(cause);
  if (entry.incomplete !== why) changed(state);
  Object.assign(entry, { lost: cause, incomplete: why });
  for (const service of [...state.composed.keys()]) compose(state, service);
}

function snapshotOf(state: State): Snapshot {
  state.sorted ??= [...state.composed.keys()].sort();
  const services: ServiceRead[] = [];
  const skipped: Partial<Record<SkipKind, number>> = {};
  const count = (why: SkipKind, by: number) => {
    if (by > 0) skipped[why] = (skipped[why] ?? 0) + by;
  };
  const told: SkippedService[] = [];
  const tell = (name: string, kind: SkipKind) => {
    count(kind, 1);
    const why = WHY_SKIPPED[kind];
    if (told.length < MOST_SKIPPED) told.push({ name: `${state.options.namespace}/${name}`, kind, why });
  };
  for (const name of state.sorted) {
    const one = state.composed.get(name);
    if (one?.state === "skipped") tell(name, one.why);
    else if (one !== undefined) services.push(one);
    if (one?.state === "ok" && one.service.podsOnly === true) tell(name, "kubernetes");
  }
  const entries = [...state.kept.values()];
  for (const kind of ["filter", "infrastructure", "name"] as const)
    count(kind, Math.max(...entries.map(({ skipped: own }) => own[kind])));
  const skippedServices = [...entries.flatMap((one) => one.skippedServices), ...told].slice(0, MOST_SKIPPED);
  const incomplete = entries.flatMap((one) => one.incomplete ?? []).join("; ");
  return {
    registry: state.options.registry,
    services,
    caseless: true,
    revision: String(state.version),
    ...(incomplete === "" ? {} : { incomplete }),
    ...(Object.keys(skipped).length === 0 ? {} : { skipped }),
    ...(skippedServices.length === 0 ? {} : { skippedServices }),
  };
}

const WHY_SKIPPED: Readonly<Record<SkipKind, string>> = {
  filter: "the registry's options tags, nodeMeta, serviceMeta or instances leave all its instances out",
  infrastructure: "all its instances are proxies or gateways of Consul's own mesh",
  kubernetes: "all its instances are pods, which a bridge registered",
  name: "it has no name that can be used",
};
