import { createHash } from "node:crypto";
import type { StageDecision } from "../model/claim.ts";
import { DEMAND_ANNOTATION, IDLE_SINCE_ANNOTATION } from "../model/demand.ts";
import type { EntryEndpoint, EntryPort, ServiceEntry } from "../model/objects.ts";
import {
  API_VERSIONS,
  AUTO_ALLOCATE_LABEL,
  EMPTY_SINCE_ANNOTATION,
  GONE_SINCE_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  NAMES_ANNOTATION,
  type ObjectKey,
  OWNER_LABEL,
  type OwnedObject,
  objectKey,
  PROVENANCE_ANNOTATION,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
  WAYPOINT_LABEL,
  WAYPOINT_NAMESPACE_LABEL,
} from "../model/objects.ts";
import type { Hold } from "../model/plan.ts";
import type { Endpoint, ServiceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import { allocatedByOthers } from "./allocated.ts";
import type { Demanded } from "./demand.ts";
import type { Authority, Catalog, CatalogService } from "./merge.ts";
import { foreignRoutes, type Naming, type ServiceNames, writeNames } from "./names.ts";
import { entryPort, isHttp, isMetaProtocol } from "./ports.ts";
import { sameValue } from "./same.ts";
import { serviceHost, stageRoutes } from "./stage-routes.ts";
import { type IndexedStanding, isExposure, type StandingEntry } from "./standing.ts";
import { isPast, stageAnnotations } from "./standing-stage.ts";
import { atOnce, ITEMS_PER_STEP, type Steps } from "./steps.ts";
import { entryFault } from "./validate.ts";

/** How a registry's services are shown to the mesh. */
export interface RegistryRules {
  readonly exportTo: readonly string[];
  /** Whether legacy names get an xDS listener. */
  readonly xds: boolean;
  /** `<namespace>/<name>` of the waypoint that an ambient mesh is to lead calls through, or `none`. */
  readonly waypoint?: string | undefined;
  /** Whether services stand only on demand. */
  readonly isReported?: boolean;
}

export interface ObjectOptions {
  readonly owner: string;
  /** Namespace of the ServiceEntries and VirtualServices. */
  readonly namespace: string;
  readonly keepEmptyMs: number;
  /** By registry. */
  readonly registries: ReadonlyMap<string, RegistryRules>;
  readonly nowMs: number;
  /** What entries say of the demand for their services; if left out, what they say already. */
  readonly demanded?: Pick<Demanded, "marks" | "decayed"> | undefined;
  /** Where services are to stand that are claimed; all others are outside. */
  readonly stages?: ReadonlyMap<ServiceKey, StageDecision>;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
}

/** What should stand, and what is to be left alone. */
export interface Desired {
  readonly objects: readonly OwnedObject[];
  /** Services whose objects all stay as they stand, with the reason (one hold each, also in `holds`). */
  readonly kept: ReadonlyMap<ServiceKey, Hold>;
  /** Single objects that stay as they stand. */
  readonly keptObjects: ReadonlySet<ObjectKey>;
  /** Why objects or names are held. */
  readonly holds: readonly Hold[];
  readonly memo: ObjectMemo;
}

/** What a service's objects were made of; the same parts give the same objects (identity) in the next pass. */
export type ObjectMemo = Map<ServiceKey, Built>;

interface Parts {
  readonly service: CatalogService;
  readonly names: ServiceNames;
  readonly vips: string;
  /** Of the companion, which gets none from us. */
  readonly legacyVips: string;
  readonly emptySince: string | undefined;
  readonly demand: string | undefined;
  readonly idleSince: string | undefined;
  readonly stage: StageDecision | undefined;
  /** Ports of a service that declares none. */
  readonly standingPorts: readonly EntryPort[] | undefined;
}

interface Built extends Parts {
  readonly objects: readonly OwnedObject[];
  readonly fault: string | undefined;
}

/**
 * The objects that should stand: for each service a ServiceEntry, an ExternalName Service for each alias, and where legacy
 * names need them a VirtualService and a companion entry. Everything that only Istio's webhook would refuse is refused here,
 * and holds that service.
 *
 * A service that a complete read no longer lists keeps its objects as a tombstone, without endpoints, for `keepEmptyMs`.
 *
 * @param vips by host; `undefined` when Istio allocates them
 */
export const buildObjects = atOnce(buildObjectsSteps);

/** {@link buildObjects} in steps. */
export function* buildObjectsSteps(
  catalog: Catalog,
  naming: Naming,
  vips: ReadonlyMap<string, readonly string[]> | undefined,
  standing: IndexedStanding,
  options: ObjectOptions,
  previous: ObjectMemo = new Map(),
): Steps<Desired> {
  let looked = 0;
  const objects: OwnedObject[] = [];
  const holds: Hold[] = [...naming.holds];
  const kept = new Map<ServiceKey, Hold>();
  const keptObjects = new Set<ObjectKey>(naming.heldAliases);
  const memo = new Map<ServiceKey, Built>();
  const routed = foreignRoutes(standing);
  let nameHolds: ReadonlyMap<ServiceKey | undefined, Hold> | undefined;

  for (const [key, service] of catalog.services) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    const names = naming.services.get(key);
    const addresses = names === undefined ? undefined : vips === undefined ? [] : vips.get(names.host);
    if (names === undefined || addresses === undefined) {
      // The names or VIP stage has said why; what stands of such a service stays.
      nameHolds ??= new Map(naming.holds.map((one) => [one.service, one]));
      const hold = names === undefined ? nameHolds.get(key) : undefined;
      kept.set(key, hold ?? holdOf(key, service.registry, "address", "no VIP could be given"));
      continue;
    }
    const built = build(key, service, names, addresses);
    memo.set(key, built);
    if (built.fault !== undefined) keep(key, holdOf(key, service.registry, "invalid", built.fault, names.host));
    else for (const object of built.objects) if (!routesElsewhere(key, object)) objects.push(object);
  }
  for (const [key, siblings] of standing.byService) {
    if (++looked % ITEMS_PER_STEP === 0) yield;
    if (!catalog.services.has(key) && options.demanded?.decayed.has(key) !== true) silentService(key, siblings);
  }
  for (const [key, why] of catalog.failed) {
    // Nothing stands of it yet, so nothing is kept; but it must not go unsaid.
    if (!standing.byService.has(key)) holds.push(holdOf(key, key.slice(0, key.indexOf("/")), "unread", why));
  }
  return { objects, kept, keptObjects, holds, memo };

  function keep(key: ServiceKey, hold: Hold): void {
    kept.set(key, hold);
    holds.push(hold);
  }

  function build(key: ServiceKey, service: CatalogService, names: ServiceNames, given: readonly string[]): Built {
    const entry = standing.entries.get(key);
    const addresses = given.length === 0 ? allocatedByOthers(entry) : given;
    const before = previous.get(key);
    const parts: Parts = {
      service,
      names,
      vips: addresses.join(","),
      legacyVips: options.registries.get(service.registry)?.xds === true ? companionVips(names) : "",
      emptySince: emptySince(service, entry, options.nowMs),
      ...demandOf(key, service, entry, before),
      stage: options.stages?.get(key),
      standingPorts: service.ports.length === 0 ? entry?.manifest.spec.ports : undefined,
    };
    if (before !== undefined && sameParts(before, parts)) return shared(before, entry);
    const made = manifests(key, parts, addresses, options);
    const fault = made
      .map((manifest) => (manifest.kind === "ServiceEntry" ? entryFault(manifest) : undefined))
      .find((one) => one !== undefined);
    return shared({ ...parts, fault, objects: made.map((manifest) => owned(key, service.registry, manifest)) }, entry);
  }

  function demandOf(
    key: ServiceKey,
    { registry }: CatalogService,
    entry: StandingEntry | undefined,
    before: Built | undefined,
  ): Pick<Parts, "demand" | "idleSince"> {
    if (options.registries.get(registry)?.isReported !== true) return { demand: undefined, idleSince: undefined };
    const standing = entry?.manifest.metadata.annotations;
    const marks = options.demanded?.marks.get(key);
    if (options.demanded === undefined || marks === undefined)
      return { demand: standing?.[DEMAND_ANNOTATION], idleSince: standing?.[IDLE_SINCE_ANNOTATION] };
    // What cannot be created yet is not made anew by every further question.
    const demand = entry === undefined ? (before?.demand ?? marks.demand) : marks.demand;
    return { demand, idleSince: marks.idleSince };
  }

  function companionVips({ host }: ServiceNames): string {
    const key = objectKey("ServiceEntry", options.namespace, companionName(entryName(host)));
    return allocatedByOthers(standing.objects.get(key)).join(",");
  }

  /**
   * Two VirtualServices on one host do not merge for sidecars, the older wins silently. So ours is not written where someone's
   * is, and goes where one in a namespace that is trusted with the service has all its hosts; from anyone else it keeps the host.
   */
  function routesElsewhere(key: ServiceKey, object: OwnedObject): boolean {
    if (object.manifest.kind !== "VirtualService") return false;
    const [host = "", ...legacy] = object.manifest.spec.hosts;
    const other = routed.get(host);
    if (other === undefined) return false;
    const stands = standing.objects.has(object.key);
    if (!stands && other.isNarrow) return false; // it leaves the other namespaces to ours
    const lacking = legacy.filter((name) => !other.hosts.includes(name)).join(", ");
    const isTrusted = !other.isNarrow && mayRoute(key, other.namespace);
    if (isTrusted && lacking === "") return true;
    const [who, tooMany] = [`${other.kind} ${other.namespace}/${other.name}`, "and Istio obeys the older one only"];
    const add = lacking === "" ? "" : `; for the legacy names to work over HTTP add to its hosts: ${lacking}`;
    const regarding = objectKey(other.kind, other.namespace, other.name);
    const report = (subject: string, message: string) =>
      void holds.push({ ...holdOf(key, object.registry, "foreign", message, subject), regarding });
    if (stands && !isTrusted) {
      report(host, `${who} routes ${host}, too, ${tooMany}`);
      return false;
    }
    keptObjects.add(object.key);
    if (!stands) report(object.key, `${who} already routes ${host}${add}`);
    else
      report(
        object.key,
        `${who} routes ${host}, too, ${tooMany}; ours goes once these are among its hosts: ${lacking}`,
      );
    return true;
  }

  function mayRoute(key: ServiceKey, namespace: string): boolean {
    const aliases = naming.services.get(key)?.aliases ?? [];
    return namespace === options.namespace || aliases.some((alias) => alias.namespace === namespace);
  }

  /** A service with objects of ours that no read named. */
  function silentService(key: ServiceKey, siblings: readonly StandingObject[]): void {
    const registry = siblings[0]?.registry ?? "";
    const entry = standing.entries.get(key);
    const authority = catalog.authorities.get(registry);
    const failure = catalog.failed.get(key);
    if (authority === undefined) {
      const message = `registry ${registry} is not configured any more, or merged into another; x2istio prune --registry ${registry} removes its objects`;
      keep(key, holdOf(key, registry, "orphan", message, subjectOf(key, entry)));
      return;
    }
    if (failure !== undefined || authority.state !== "complete") {
      keep(key, holdOf(key, registry, "unread", failure ?? silence(authority), subjectOf(key, entry)));
      return;
    }
    // Without its entry nothing is left to wait for: aliases and the like go too.
    if (entry === undefined) return;
    const goneSince = entry.manifest.metadata.annotations?.[GONE_SINCE_ANNOTATION];
    const own = siblings.filter((object) => !isExposure(object));
    if (goneSince === undefined) {
      for (const object of own)
        objects.push(object === entry ? tombstone(key, entry, rfc3339(options.nowMs)) : asDesired(key, object));
    } else if (!(Date.parse(goneSince) + options.keepEmptyMs <= options.nowMs)) {
      // An unreadable time is treated as just begun: never a reason to delete.
      const isFilled = (entry.manifest.spec.endpoints ?? []).length > 0; // by someone else
      for (const object of own)
        objects.push(object === entry && isFilled ? tombstone(key, entry, goneSince) : asDesired(key, object));
    }
  }
}

/** Why a registry's silence proves nothing. */
export function silence(authority: Authority): string {
  return authority.why ?? "its registry has not answered";
}

function subjectOf(key: ServiceKey, entry: StandingEntry | undefined): string {
  return entry?.manifest.spec.hosts[0] ?? key;
}

function holdOf(
  service: ServiceKey,
  registry: string,
  reason: Hold["reason"],
  message: string,
  subject: string = service,
): Hold {
  return { reason, subject, service, registry, message };
}

/** An entry that is to be what it is takes over the spec that stands: thousands of endpoints are then there once. */
function shared(built: Built, entry: StandingEntry | undefined): Built {
  const [object, ...others] = built.objects;
  if (entry === undefined || object === undefined || object.manifest.kind !== "ServiceEntry") return built;
  const { spec } = entry.manifest;
  if (object.manifest.spec === spec || !sameValue(object.manifest.spec, spec)) return built;
  return { ...built, objects: [{ ...object, manifest: { ...object.manifest, spec } }, ...others] };
}

function sameParts(a: Parts, b: Parts): boolean {
  return (
    a.service === b.service &&
    a.names === b.names &&
    a.vips === b.vips &&
    a.legacyVips === b.legacyVips &&
    a.emptySince === b.emptySince &&
    a.demand === b.demand &&
    a.idleSince === b.idleSince &&
    a.stage === b.stage &&
    a.standingPorts === b.standingPorts
  );
}

function owned(service: ServiceKey, registry: string, manifest: Manifest): OwnedObject {
  return {
    key: objectKey(manifest.kind, manifest.metadata.namespace, manifest.metadata.name),
    service,
    registry,
    manifest,
  };
}

function asDesired(service: ServiceKey, { key, registry, manifest }: StandingObject): OwnedObject {
  return { key, service, registry, manifest };
}

function tombstone(service: ServiceKey, { key, registry, manifest }: StandingEntry, since: string): OwnedObject {
  const {
    [EMPTY_SINCE_ANNOTATION]: _,
    [PROVENANCE_ANNOTATION]: __,
    ...annotations
  } = manifest.metadata.annotations ?? {};
  const metadata = { ...manifest.metadata, annotations: { ...annotations, [GONE_SINCE_ANNOTATION]: since } };
  return { key, service, registry, manifest: { ...manifest, metadata, spec: { ...manifest.spec, endpoints: [] } } };
}

/** When the last endpoint went, or `undefined`: a service that never had one is not a loss. */
function emptySince(service: CatalogService, entry: StandingEntry | undefined, nowMs: number): string | undefined {
  if (service.endpoints.length > 0 || entry === undefined) return undefined;
  const { [EMPTY_SINCE_ANNOTATION]: empty, [GONE_SINCE_ANNOTATION]: gone } = entry.manifest.metadata.annotations ?? {};
  return empty ?? gone ?? ((entry.manifest.spec.endpoints ?? []).length > 0 ? rfc3339(nowMs) : undefined);
}

function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Kubernetes allows 253 characters; the companion's suffix must still fit. */
function entryName(host: string): string {
  if (host.length <= 240) return host;
  const hash = createHash("sha256").update(host).digest("hex").slice(0, 8);
  return `${host.slice(0, 231).replace(/[.-]+$/, "")}-${hash}`;
}

function companionName(name: string): string {
  return `${name}-legacy`;
}

function manifests(
  key: ServiceKey,
  parts: Parts,
  addresses: readonly string[],
  options: ObjectOptions,
): readonly Manifest[] {
  const { service, names } = parts;
  const rules: RegistryRules = options.registries.get(service.registry) ?? { exportTo: ["*"], xds: false };
  const { exportTo, xds } = rules;
  const { host } = names;
  const { namespace } = options;
  const name = entryName(host);
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: options.owner, [REGISTRY_LABEL]: service.registry };
  const ports = parts.standingPorts ?? service.ports.map(entryPort);
  const http = ports.filter(({ protocol }) => isHttp(protocol));
  const forAeraki = ports.some(isMetaProtocol) ? { manager: "aeraki", registry: service.registry } : {};
  const carried = names.legacyNames.filter(({ dnsOnly }) => dnsOnly === undefined).map((legacy) => legacy.name);
  const ours = { [SERVICE_ANNOTATION]: key };
  const made: Manifest[] = [
    {
      apiVersion: API_VERSIONS.ServiceEntry,
      kind: "ServiceEntry",
      metadata: {
        name,
        namespace,
        labels: { ...labels, ...forAeraki, ...waypointLabels(rules) },
        annotations: { ...ours, ...entryAnnotations(parts) },
      },
      spec: {
        hosts: [host],
        ...(addresses.length === 0 ? {} : { addresses }),
        ports,
        location: "MESH_INTERNAL",
        resolution: "STATIC",
        endpoints: entryEndpoints(service, ports),
        exportTo,
      },
    },
  ];
  const clusterDomain = options.clusterDomain ?? "cluster.local";
  const { stage = "outside", claimant, weight = 0, sni = [] } = parts.stage ?? {};
  const isMoving = stage !== "outside" && claimant !== undefined;
  const routed = carried.length > 0 && http.length > 0;
  if (routed || isMoving) {
    const routes = isMoving
      ? stageRoutes(host, ports, { weight, claimant, sni }, clusterDomain)
      : stageRoutes(host, http, { weight: 0, claimant: undefined, sni: [] }, clusterDomain);
    made.push({
      apiVersion: API_VERSIONS.VirtualService,
      kind: "VirtualService",
      metadata: { name, namespace, labels, annotations: ours },
      spec: { hosts: [host, ...carried], exportTo, ...routes },
    });
  }
  if (routed && xds) made.push(companion());
  for (const alias of names.aliases) {
    made.push({
      apiVersion: API_VERSIONS.Service,
      kind: "Service",
      metadata: { name: alias.name, namespace: alias.namespace, labels, annotations: ours },
      spec: {
        type: "ExternalName",
        externalName: isPast(stage) && claimant !== undefined ? serviceHost(claimant, clusterDomain) : host,
        ports: ports.map((port) => ({
          name: port.name,
          port: port.number,
          protocol: port.protocol === "UDP" ? "UDP" : "TCP",
        })),
      },
    });
  }
  return made;

  /** Gives `xds:///legacy:port` a listener; the VirtualService routes it. It has no endpoints, and no VIP may be made for it. */
  function companion(): ServiceEntry {
    const others = parts.legacyVips === "" ? {} : { addresses: parts.legacyVips.split(",") };
    return {
      apiVersion: API_VERSIONS.ServiceEntry,
      kind: "ServiceEntry",
      metadata: {
        name: companionName(name),
        namespace,
        labels: { ...labels, [AUTO_ALLOCATE_LABEL]: "false" },
        annotations: ours,
      },
      spec: { hosts: carried, ...others, ports: http, location: "MESH_INTERNAL", resolution: "STATIC", exportTo },
    };
  }
}

/** Both are always set, as a label that is left out stays on the entry. */
function waypointLabels({ waypoint }: RegistryRules): Readonly<Record<string, string>> {
  if (waypoint === undefined) return {};
  if (waypoint === "none") return { [WAYPOINT_LABEL]: waypoint };
  const [namespace = "", name = ""] = waypoint.split("/");
  return { [WAYPOINT_LABEL]: name, [WAYPOINT_NAMESPACE_LABEL]: namespace };
}

function entryAnnotations({
  names,
  emptySince: since,
  demand,
  idleSince,
  stage,
  service,
}: Parts): Readonly<Record<string, string>> {
  return {
    ...(names.legacyNames.length === 0 ? {} : { [NAMES_ANNOTATION]: writeNames(names.legacyNames) }),
    ...(since === undefined ? {} : { [EMPTY_SINCE_ANNOTATION]: since }),
    ...(demand === undefined ? {} : { [DEMAND_ANNOTATION]: demand }),
    ...(idleSince === undefined ? {} : { [IDLE_SINCE_ANNOTATION]: idleSince }),
    ...stageAnnotations(stage),
    ...(service.provenance === undefined
      ? {}
      : { [PROVENANCE_ANNOTATION]: service.provenance.map(({ registry, count }) => `${registry}=${count}`).join(",") }),
  };
}

/** A service's endpoints as they stand on an entry, in a stable order, so that a registry that answers in random order causes no write. */
export function entryEndpoints(service: CatalogService, ports: readonly EntryPort[]): readonly EntryEndpoint[] {
  const portNames = new Map(ports.map(({ name }) => [name, name]));
  for (const port of service.ports) portNames.set(port.name, entryPort(port).name);
  const mapped = service.endpoints.map((endpoint) => entryEndpoint(endpoint, portNames));
  if (service.provenance === undefined) return mapped.sort(byAddress);
  let start = 0;
  return service.provenance.flatMap(({ count }) => {
    const part = mapped.slice(start, start + count).sort(byAddress);
    start += count;
    return part;
  });
}

function byAddress(a: EntryEndpoint, b: EntryEndpoint): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  const [left, right] = [JSON.stringify(a.ports ?? {}), JSON.stringify(b.ports ?? {})];
  return left < right ? -1 : left > right ? 1 : 0;
}

function entryEndpoint(endpoint: Endpoint, portNames: ReadonlyMap<string, string>): EntryEndpoint {
  const ports = Object.entries(endpoint.ports ?? {}).flatMap(([name, number]) => {
    const known = portNames.get(name);
    return known === undefined ? [] : [[known, number] as const];
  });
  const labels = endpoint.labels ?? {};
  const locality = [endpoint.region, endpoint.zone, endpoint.subzone];
  const depth = locality.indexOf(undefined);
  return {
    address: endpoint.address,
    ...(ports.length === 0 ? {} : { ports: Object.fromEntries(ports) }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    // A zone counts only within a region, a subzone only within a zone.
    ...(depth === 0 ? {} : { locality: locality.slice(0, depth === -1 ? 3 : depth).join("/") }),
    ...(endpoint.weight === undefined ? {} : { weight: endpoint.weight }),
  };
}
