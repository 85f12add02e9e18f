import { setImmediate as turnOfLoop } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { describeError } from "../../src/errors.ts";
import type { ServiceRead, SkipKind, Snapshot } from "../../src/model/adapter.ts";
import { type Service, serviceKey } from "../../src/model/service.ts";
import type { Intern } from "../intern.ts";
import type { Instance, NotOurs } from "./instance.ts";
import { toService } from "./service.ts";

/** What one datacenter says of one service. */
export type Part =
  | {
      readonly state: "ok";
      readonly datacenter: string;
      readonly instances: readonly Instance[];
      /** Addresses of instances that came from Kubernetes. */
      readonly kubernetes: readonly string[];
    }
  | { readonly state: "skipped"; readonly why: NotOurs }
  | { readonly state: "failed"; readonly cause: unknown };

/** One datacenter as the catalog sees it; without a name, the agent's own. */
export interface Member {
  readonly name: string | undefined;
}

/** The services of one datacenter. */
export interface Listed {
  /** Those that are for the mesh, as far as their names tell. */
  readonly names: ReadonlySet<string>;
  /** How many are not, by the operator's filter. */
  readonly filtered: number;
  /** How many are Consul's own. */
  readonly infrastructure: number;
  /** Why there may be more. */
  readonly incomplete: string | undefined;
}

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

/** What is kept of a datacenter. */
interface Kept {
  /** `undefined` until it was listed once. */
  services: ReadonlySet<string> | undefined;
  readonly parts: Map<string, Part>;
  filtered: number;
  infrastructure: number;
  incomplete: string | undefined;
  lost: unknown;
}

/** Services that are composed in one turn of the event loop: together they take a few milliseconds. */
const PER_TURN = 128;

type Composed = ServiceRead | { readonly state: "skipped"; readonly why: SkipKind };

/** The catalog of one registry; `onChange` is told whenever `version` counts up. */
export function catalog(
  place: { readonly registry: string; readonly namespace: string },
  pool: Intern,
  onChange: () => void,
): Catalog {
  const kept = new Map<Member, Kept>();
  const composed = new Map<string, Composed>();
  const good = new Map<string, Service>();
  let sorted: readonly string[] | undefined;
  let version = 1;

  function moved(): void {
    version++;
    onChange();
  }

  const of = (member: Member): Kept => {
    const found = kept.get(member);
    if (found === undefined) throw new Error("Cannot keep services of a datacenter that is not a member");
    return found;
  };

  function add(member: Member): void {
    const empty = { filtered: 0, infrastructure: 0, incomplete: undefined, lost: undefined };
    kept.set(member, { services: undefined, parts: new Map(), ...empty });
  }

  function put(member: Member, service: string, part: Part): void {
    const { parts, services } = of(member);
    parts.set(service, part);
    if (services?.has(service) === true) compose(service);
  }

  /** The instances are wanted again only to join those of several datacenters. */
  function release(service: string): void {
    if (kept.size > 1) return;
    for (const { parts } of kept.values()) {
      const part = parts.get(service);
      if (part?.state === "ok") parts.set(service, { ...part, instances: [], kubernetes: [] });
    }
  }

  async function list(member: Member, { names, filtered, infrastructure, incomplete }: Listed): Promise<void> {
    const entry = of(member);
    const before = entry.services ?? new Set();
    const wasLost = entry.lost !== undefined || entry.services === undefined;
    if (entry.incomplete !== incomplete || entry.filtered !== filtered || wasLost) moved();
    Object.assign(entry, { services: names, filtered, infrastructure, incomplete, lost: undefined });
    for (const service of before) {
      if (names.has(service)) continue;
      entry.parts.delete(service);
      compose(service);
    }
    // Also those that an earlier list, broken off, did not come to.
    await composeAll([...names].filter((service) => !before.has(service) || !composed.has(service)));
    if (wasLost && kept.size > 1) await composeAll([...composed.keys()]);
  }

  async function composeAll(services: readonly string[]): Promise<void> {
    for (const [at, service] of services.entries()) {
      if (at % PER_TURN === PER_TURN - 1) await turnOfLoop();
      compose(service);
    }
  }

  function lose(member: Member, cause: unknown): void {
    const entry = of(member);
    const why = describeError(cause);
    if (entry.incomplete !== why) moved();
    Object.assign(entry, { lost: cause, incomplete: why });
    for (const service of [...composed.keys()]) compose(service);
  }

  function compose(service: string): void {
    const before = composed.get(service);
    const after = composeNow(service, before);
    release(service);
    if (after === before) return;
    moved();
    if (after === undefined) {
      composed.delete(service);
      good.delete(service);
    } else composed.set(service, after);
    if ((before === undefined) !== (after === undefined)) sorted = undefined;
  }

  function composeNow(service: string, before: Composed | undefined): Composed | undefined {
    const entries = [...kept.values()];
    const listing = entries.filter(({ services }) => services?.has(service) === true);
    if (listing.length === 0 && before === undefined) return undefined;
    const lost = entries.find((one) => one.lost !== undefined && one.services?.has(service) !== false);
    if (lost !== undefined) return failed(service, lost.lost, before);
    if (listing.length === 0) return undefined;
    const parts = listing.flatMap(({ parts: all }) => all.get(service) ?? []);
    const broken = parts.find((part) => part.state === "failed");
    if (broken !== undefined) return failed(service, broken.cause, before);
    const usable = parts.filter((part) => part.state === "ok");
    const [skipped] = parts.filter((part) => part.state === "skipped");
    if (usable.length === 0 && skipped !== undefined) {
      good.delete(service);
      return before?.state === "skipped" && before.why === skipped.why
        ? before
        : { state: "skipped", why: skipped.why };
    }
    return read(service, usable, before);
  }

  function read(
    service: string,
    parts: readonly Extract<Part, { state: "ok" }>[],
    before: Composed | undefined,
  ): Composed {
    const instances = parts.flatMap((part) => part.instances);
    const kubernetes = parts.flatMap((part) => part.kubernetes);
    const datacenters = [...new Set(parts.map(({ datacenter }) => datacenter))].filter((name) => name !== "");
    const path = `/v1/health/service/${encodeURIComponent(service)}`;
    const source = datacenters.length === 0 ? path : `${path} in ${datacenters.join(", ")}`;
    const now = toService({ ...place, name: service, source }, instances, kubernetes, pool);
    const last = good.get(service);
    const same = last !== undefined && isDeepStrictEqual(last, now) ? last : now;
    good.set(service, same);
    return before?.state === "ok" && before.service === same ? before : { state: "ok", service: same };
  }

  function failed(service: string, cause: unknown, before: Composed | undefined): Composed {
    const isSame = before?.state === "failed" && describeError(before.cause) === describeError(cause);
    return isSame ? before : { state: "failed", key: serviceKey(place.registry, place.namespace, service), cause };
  }

  function snapshot(): Snapshot {
    sorted ??= [...composed.keys()].sort();
    const services: ServiceRead[] = [];
    const skipped: Partial<Record<SkipKind, number>> = {};
    const count = (why: SkipKind, by: number) => {
      if (by > 0) skipped[why] = (skipped[why] ?? 0) + by;
    };
    for (const name of sorted) {
      const one = composed.get(name);
      if (one?.state === "skipped") count(one.why, 1);
      else if (one !== undefined) services.push(one);
    }
    const entries = [...kept.values()];
    count("filter", Math.max(...entries.map(({ filtered }) => filtered)));
    count("infrastructure", Math.max(...entries.map(({ infrastructure }) => infrastructure)));
    const incomplete = entries.flatMap((one) => one.incomplete ?? []).join("; ");
    return {
      registry: place.registry,
      services,
      revision: String(version),
      ...(incomplete === "" ? {} : { incomplete }),
      ...(Object.keys(skipped).length === 0 ? {} : { skipped }),
    };
  }

  return { add, put, list, lose, snapshot, version: () => version };
}
