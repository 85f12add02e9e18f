import { describeError } from "../../errors.ts";
import { parseServiceKey, type ServiceKey, serviceKey } from "../../model/service.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { sameValue } from "../same.ts";
import type { IndexedStanding } from "../standing.ts";
import type { Authority, Catalog, CatalogService, Reading } from "./catalog.ts";
import { join, type MemberRead } from "./join.ts";
import { settlePorts } from "./settle.ts";
import type { WeightScales } from "./weights.ts";

/**
 * Join what the registries said into one catalog.
 *
 * Services of equal namespace and name are joined only for the registries in `group`, under the key of the group's first
 * registry. The endpoints of a member that could not be read stay as they stand on the entry; a service is gone only when
 * every member said so.
 *
 * @param readings by registry, in configuration order
 * @param scales of the weights of registries in `group`
 */
export function merge(
  readings: ReadonlyMap<string, Reading>,
  standing: IndexedStanding,
  group: readonly string[] = [],
  memory: PlanMemory = planMemory(),
  scales: WeightScales = new Map(),
): Catalog {
  const services = new Map<ServiceKey, CatalogService>();
  const failed = new Map<ServiceKey, string>();
  const authorities = new Map<string, Authority>();
  const [primary] = group;
  for (const [registry, reading] of readings) {
    if (group.includes(registry)) {
      if (registry === primary) authorities.set(registry, groupAuthority(group, readings));
      continue;
    }
    authorities.set(registry, authorityOf(registry, reading));
    if (reading.state !== "read") continue;
    for (const read of reading.snapshot.services) {
      if (read.state === "failed") {
        failed.set(read.key, describeError(read.cause));
        continue;
      }
      const key = serviceKey(registry, read.service.namespace, read.service.name);
      if (read.service.podsOnly === true && !stands(key, standing)) continue;
      services.set(key, settlePorts(read.service, standing.entries.get(key)?.manifest, memory));
    }
  }
  if (primary !== undefined)
    mergeGroup({ group, primary, readings, standing, scales, previous: memory.decision?.catalog, services, failed });
  return { services, failed, authorities };
}

/** Of a service whose instances are pods there is nothing to create; what stands of it is emptied, and is not gone. */
function stands(key: ServiceKey, { entries, premadeOf }: IndexedStanding): boolean {
  return entries.has(key) || premadeOf.has(key);
}

function authorityOf(registry: string, reading: Reading | undefined): Authority {
  if (reading === undefined || reading.state === "unread")
    return { state: "unread", why: `registry ${registry} has not answered yet`, listed: 0 };
  if (reading.state === "failed") return { state: "failed", why: reading.why, listed: 0 };
  const { incomplete, services } = reading.snapshot;
  if (incomplete !== undefined) return { state: "incomplete", why: incomplete, listed: services.length };
  return { state: "complete", listed: services.length };
}

function groupAuthority(group: readonly string[], readings: ReadonlyMap<string, Reading>): Authority {
  const members = group.map((registry) => authorityOf(registry, readings.get(registry)));
  const listed = members.reduce((sum, member) => sum + member.listed, 0);
  const doubtful = members.find((member) => member.state !== "complete");
  if (doubtful === undefined) return { state: "complete", listed };
  // Another member's services can still be updated, so a failed one makes the group's list only partly known.
  const state = members.every((member) => member.state === doubtful.state) ? doubtful.state : "incomplete";
  return { state, listed, ...(doubtful.why === undefined ? {} : { why: doubtful.why }) };
}

interface GroupInput {
  readonly group: readonly string[];
  readonly primary: string;
  readonly readings: ReadonlyMap<string, Reading>;
  readonly standing: IndexedStanding;
  readonly scales: WeightScales;
  readonly previous: Catalog | undefined;
  readonly services: Map<ServiceKey, CatalogService>;
  readonly failed: Map<ServiceKey, string>;
}

function mergeGroup(input: GroupInput): void {
  const { group, primary, readings, standing, scales, previous, services, failed } = input;
  const names = new Set<string>();
  const reads = new Map<string, Map<string, MemberRead>>();
  for (const registry of group) {
    const own = new Map<string, MemberRead>();
    reads.set(registry, own);
    const reading = readings.get(registry);
    if (reading?.state !== "read") continue;
    for (const read of reading.snapshot.services) {
      const name = read.state === "ok" ? `${read.service.namespace}/${read.service.name}` : withoutRegistry(read.key);
      own.set(name, read.state === "ok" ? read : { state: "failed", why: describeError(read.cause) });
      names.add(name);
    }
  }
  for (const name of names) {
    const key = `${primary}/${name}`;
    const members = group.map((registry) => ({
      registry,
      read: reads.get(registry)?.get(name) ?? silent(authorityOf(registry, readings.get(registry))),
    }));
    const entry = standing.entries.get(key)?.manifest;
    const parts = join(key, members, entry, scales);
    if (typeof parts === "string") failed.set(key, parts);
    else if (parts.podsOnly !== true || stands(key, standing)) {
      const joined = settlePorts(parts, entry);
      const before = previous?.services.get(key);
      services.set(key, before !== undefined && sameValue(before, joined) ? before : joined);
    }
  }
}

function withoutRegistry(key: ServiceKey): string {
  const parts = parseServiceKey(key);
  return parts === undefined ? key : `${parts.namespace}/${parts.name}`;
}

function silent(authority: Authority): MemberRead {
  return authority.state === "complete"
    ? { state: "absent" }
    : { state: "failed", why: authority.why ?? authority.state };
}
