import { isDeepStrictEqual } from "node:util";
import { ReadError } from "../../src/errors.ts";
import { isServiceName } from "../../src/istio/limits.ts";
import { lowerCase } from "../../src/istio/lower-case.ts";
import type { ServiceRead, SkipKind, SkippedService } from "../../src/model/adapter.ts";
import { type Service, serviceKey } from "../../src/model/service.ts";
import { nameFilter } from "../globs.ts";
import type { Intern } from "../intern.ts";
import { compileRules } from "../shapes/rules.ts";
import { MOST_SKIPPED, namelessService, unwantedService } from "../shapes/skipped.ts";
import { toService } from "./mapping.ts";
import type { EurekaOptions } from "./options.ts";
import type { RawApp } from "./reply.ts";

/** What a list of applications says of the services that are for the mesh. */
export interface Listing {
  /** In the order of their names; one that has not moved is the same object as before. */
  readonly services: readonly ServiceRead[];
  /** Applications that the operator does not want, that are pods, or that have no name that a service can have. */
  readonly skipped: Readonly<Partial<Record<SkipKind, number>>>;
  /** Some of them. */
  readonly skippedServices: readonly SkippedService[];
}

/**
 * Read list after list of one registry.
 *
 * @returns A function of a list, and of whether its server may lack what is registered: then an application with fewer instances than
 * in the list before is failed.
 */
export function lister(
  registry: string,
  options: EurekaOptions,
  pool: Intern,
): (apps: readonly RawApp[], isSettling: boolean) => Listing {
  const { namespace, address } = options;
  const isWanted = nameFilter(options.services);
  const mapping = { ...options, rules: compileRules(options, true) };
  /** Instances of the last good list, by application. */
  let listed: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  let known: ReadonlyMap<string, Service> = new Map();

  function readOf(name: string, parts: readonly RawApp[], isSettling: boolean): ServiceRead | undefined {
    const key = serviceKey(registry, namespace, name);
    const failed = (what: string): ServiceRead => ({
      state: "failed",
      key,
      cause: new ReadError("answer", `Cannot read ${key}: ${what}`),
    });
    for (const part of parts) if (part.instances === undefined) return failed(part.fault);
    const instances = parts.flatMap((part) => part.instances ?? []);
    const ids = idsOf(parts);
    const lost = [...(listed.get(name) ?? [])].filter((id) => !ids.has(id)).length;
    if (isSettling && lost > 0)
      return failed(`its server answers since a moment ago and lists ${lost} instances less, which may come back`);
    const place = { registry, namespace, name, source: `${address[0]}/apps/${encodeURIComponent(name)}` };
    const service = toService(place, instances, mapping, pool);
    if (service === undefined) return undefined;
    const before = known.get(name);
    return { state: "ok", service: before !== undefined && isDeepStrictEqual(before, service) ? before : service };
  }

  return (apps, isSettling) => {
    const byName = Map.groupBy(apps, ({ name }) => lowerCase(name));
    const told: SkippedService[] = [...byName.keys()].flatMap((name) => {
      if (!isServiceName(name)) return [namelessService(namespace, name)];
      return isWanted(name) ? [] : [unwantedService(namespace, name)];
    });
    const ours = [...byName].filter(([name]) => isServiceName(name) && isWanted(name));
    const read = ours
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([name, parts]) => {
        const one = readOf(name, parts, isSettling);
        if (one === undefined) told.push({ name: `${namespace}/${name}`, kind: "filter", why: OUTSIDE });
        if (one?.state === "ok" && one.service.podsOnly === true)
          told.push({ name: `${namespace}/${name}`, kind: "kubernetes", why: PODS_ONLY });
        return one === undefined ? [] : [{ name, parts, read: one }];
      });
    const good = read.flatMap(({ name, parts, read: { state } }) =>
      state === "ok" ? [[name, idsOf(parts)] as const] : [],
    );
    const failed = read.flatMap(({ name, read: { state } }) => (state === "ok" ? [] : [name]));
    const kept = isSettling ? [...listed.keys()] : failed;
    listed = new Map([...kept.map((name) => [name, listed.get(name) ?? new Set<string>()] as const), ...good]);
    known = new Map(
      read.flatMap(({ name, read: one }) => {
        const service = one.state === "ok" ? one.service : known.get(name);
        return service === undefined ? [] : [[name, service] as const];
      }),
    );
    return { services: read.map((one) => one.read), ...countedSkips(told) };
  };
}

function idsOf(parts: readonly RawApp[]): ReadonlySet<string> {
  return new Set(parts.flatMap(({ instances = [] }) => instances.map(({ id }) => id)));
}

const OUTSIDE = "the registry's option instances leaves all its instances out";
const PODS_ONLY = "all its instances are pods, which a bridge registered";

function countedSkips(told: readonly SkippedService[]): Pick<Listing, "skipped" | "skippedServices"> {
  const count = (kind: SkipKind) => told.filter((one) => one.kind === kind).length;
  return {
    skipped: { filter: count("filter"), kubernetes: count("kubernetes"), name: count("name") },
    skippedServices: told.slice(0, MOST_SKIPPED),
  };
}
