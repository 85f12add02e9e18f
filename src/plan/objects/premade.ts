import { entryFault } from "../../istio/entry-rules.ts";
import { entryPort } from "../../istio/ports.ts";
import type { ObjectKey, ServiceEntry, ServiceEntrySpec } from "../../model/objects.ts";
import type { Hold, Plan, Update } from "../../model/plan.ts";
import { registryOfKey, type ServiceKey, serviceKey } from "../../model/service.ts";
import type { PremadeEntry } from "../../model/standing.ts";
import type { Catalog, CatalogService } from "../catalog/catalog.ts";
import { settlePorts } from "../catalog/settle.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { holdingOf } from "../policy/holdings.ts";
import { sameValue } from "../same.ts";
import { type IndexedStanding, premadeService } from "../standing.ts";
import { entryEndpoints } from "./entry-endpoints.ts";
import { silence } from "./tombstones.ts";

/** What is to become of entries that others wrote by hand. */
export type Filling = Pick<Plan, "update" | "hold" | "unchanged">;

/**
 * Give entries that others wrote by hand the ports and endpoints of the service that they ask for. All else on them is their
 * author's; none is ever deleted. Where the service or its registry cannot be read they stay as they are; of a service that a
 * complete read no longer lists the endpoints go.
 */
export function fillPremade(catalog: Catalog, standing: IndexedStanding, memory: PlanMemory = planMemory()): Filling {
  const update: Update[] = [];
  const hold: Hold[] = [];
  let unchanged = 0;
  let doubtful: ReadonlyMap<string, ServiceKey> | undefined;
  for (const entry of standing.premade.values()) {
    const decided = decide(entry);
    if (decided === "same") unchanged++;
    else if ("kind" in decided) update.push(decided);
    else hold.push(decided);
  }
  return { update, hold, unchanged };

  function decide(entry: PremadeEntry): Update | Hold | "same" {
    const key = premadeService(standing, entry);
    if (key === undefined)
      return holdOf(entry, key, "orphan", `it is not filled: ${entry.yielded ?? "no registry is named"}`);
    const fault = formFault(entry.manifest.spec);
    if (fault !== undefined) return holdOf(entry, key, "invalid", fault);
    const service = catalog.services.get(key);
    if (service === undefined) {
      doubtful ??= new Map([...catalog.failed.keys()].map((failed) => [registryOfKey(failed), failed]));
      return silent(entry, key, catalog, doubtful.get(entry.registry));
    }
    const known = memory.filled.get(entry);
    if (known?.service === service) return known.filled;
    const filled = fill(entry, key, service);
    memory.filled.set(entry, { service, filled });
    return filled;
  }
}

/**
 * What stands, with entries that ask for a service by an alias of its registry indexed by the service's own name. A name that
 * some service has is never taken for an alias.
 */
export function withAliased(standing: IndexedStanding, { services, failed }: Catalog): IndexedStanding {
  const unknown = new Set([...standing.premadeOf.keys()].filter((key) => !services.has(key) && !failed.has(key)));
  if (unknown.size === 0) return standing;
  const premadeOf = new Map(standing.premadeOf);
  const premadeAliases = new Map<ServiceKey, ServiceKey>();
  const holdings = new Map(standing.holdings);
  for (const [key, { registry, aliases = [] }] of services) {
    for (const { namespace, name } of aliases) {
      const alias = serviceKey(registry, namespace, name);
      if (!unknown.delete(alias)) continue;
      premadeAliases.set(alias, key);
      premadeOf.set(key, [...(premadeOf.get(key) ?? []), ...(premadeOf.get(alias) ?? [])]);
      premadeOf.delete(alias);
      holdings.delete(alias);
      holdings.set(key, holdingOf(standing.entries.get(key), premadeOf.get(key) ?? []));
    }
  }
  return { ...standing, premadeOf, premadeAliases, holdings };
}

/** A plan with the changes of these entries among its own. */
export function withFilling<Planned extends Plan>(plan: Planned, { update, hold, unchanged }: Filling): Planned {
  if (update.length + hold.length + unchanged === 0) return plan;
  return {
    ...plan,
    update: [...plan.update, ...update].sort((a, b) => (a.object.key < b.object.key ? -1 : 1)),
    hold: [...plan.hold, ...hold],
    unchanged: plan.unchanged + unchanged,
  };
}

function fill(entry: PremadeEntry, key: ServiceKey, read: CatalogService): Update | Hold | "same" {
  const { spec } = entry.manifest;
  const service = settlePorts(read, entry.manifest);
  // A service that declares no port has the ports that it had.
  const ports = service.ports.length === 0 ? spec.ports : service.ports.map(entryPort);
  const endpoints = entryEndpoints(service, ports);
  if (sameValue(spec.ports, ports) && sameValue(spec.endpoints ?? [], endpoints)) return "same";
  const manifest = { ...entry.manifest, spec: { ...spec, ports, endpoints } };
  const wrong = entryFault(manifest);
  return wrong === undefined ? updateOf(entry, key, manifest, "listed") : holdOf(entry, key, "invalid", wrong);
}

/**
 * An entry whose service no read named.
 *
 * @param unread a service of its registry that could not be read
 */
function silent(
  entry: PremadeEntry,
  key: ServiceKey,
  { authorities, failed }: Catalog,
  unread: ServiceKey | undefined,
): Update | Hold | "same" {
  const { registry } = entry;
  const authority = authorities.get(registry);
  const failure = failed.get(key);
  if (authority === undefined) return holdOf(entry, key, "orphan", `registry ${registry} is not configured any more`);
  if (failure !== undefined || authority.state !== "complete")
    return holdOf(entry, key, "unread", failure ?? silence(authority));
  if (unread !== undefined)
    return holdOf(
      entry,
      key,
      "unread",
      `${withoutRegistry(key)} may be another name of ${unread}, which cannot be read`,
    );
  const { spec } = entry.manifest;
  if ((spec.endpoints ?? []).length === 0)
    return holdOf(
      entry,
      key,
      "unread",
      `it is not filled: registry ${registry} lists no service ${withoutRegistry(key)}`,
    );
  return updateOf(entry, key, { ...entry.manifest, spec: { ...spec, endpoints: [] } }, "gone");
}

function withoutRegistry(key: ServiceKey): string {
  return key.slice(key.indexOf("/") + 1);
}

function updateOf(
  standing: PremadeEntry,
  service: ServiceKey,
  manifest: ServiceEntry,
  premade: NonNullable<Update["premade"]>,
): Update {
  return {
    kind: "update",
    object: { key: standing.key, service, registry: standing.registry, manifest },
    standing,
    premade,
  };
}

function holdOf(
  { key, registry }: PremadeEntry,
  service: ServiceKey | undefined,
  reason: Hold["reason"],
  message: string,
): Hold {
  return { reason, subject: key, service, registry, message: `${objectText(key)}: ${message}`, regarding: key };
}

/** `ServiceEntry shop/orders` */
function objectText(key: ObjectKey): string {
  return key.replace("/", " ");
}

/** Why an entry of this form can have no endpoints of ours. */
function formFault(spec: ServiceEntrySpec): string | undefined {
  const {
    resolution = "NONE",
    workloadSelector,
  }: { readonly resolution?: string; readonly workloadSelector?: unknown } = spec;
  if (resolution !== "STATIC")
    return `it is not filled: its resolution is ${resolution}, and must be STATIC to take endpoints from a registry`;
  return workloadSelector == null ? undefined : "it is not filled: its workloadSelector chooses its endpoints";
}
