import { isHttp } from "../../istio/ports.ts";
import type { StageDecision } from "../../model/claim.ts";
import type { ExposureRule } from "../../model/exposure.ts";
import {
  API_VERSIONS,
  type EntryPort,
  type MeshKind,
  type ObjectKey,
  type OwnedObject,
  objectKey,
  type ServiceEntry,
} from "../../model/objects.ts";
import type { Hold, HoldReason } from "../../model/plan.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { type PlanMemory, planMemory } from "../memory.ts";
import { sameObject } from "../plan.ts";
import { sameValue } from "../same.ts";
import { serviceHost } from "../stages/stage-routes.ts";
import type { IndexedStanding } from "../standing.ts";
import type { Desired } from "./desired.ts";
import { placeOf, type RouteOptions, routeKind, routeManifest } from "./gateway-routes.ts";
import { silence } from "./tombstones.ts";

/** The routes of all exposures, and what is held of them. */
export interface Exposures {
  readonly objects: readonly OwnedObject[];
  /** Routes that stay as they stand. */
  readonly kept: readonly ObjectKey[];
  readonly holds: readonly Hold[];
}

interface Inputs {
  readonly catalog: Catalog;
  readonly standing: IndexedStanding;
  readonly desired: Desired;
  /** Where services are to stand that are claimed; all others are outside. */
  readonly stages?: ReadonlyMap<ServiceKey, StageDecision>;
}

/**
 * The routes that lead from gateways to services: for each rule a VirtualService, or a route of the Gateway API. A gateway
 * and its listeners are somebody else's.
 *
 * A route leads to an entry that stands or is about to. It stays as it is while nobody can tell whether its service is
 * there, goes with the entry, and goes at once when its rule does.
 */
export function buildExposures(
  rules: readonly ExposureRule[],
  { catalog, standing, desired, stages }: Inputs,
  options: RouteOptions,
  memory: PlanMemory = planMemory(),
): Exposures {
  const objects: OwnedObject[] = [];
  const kept: ObjectKey[] = [];
  const holds: Hold[] = [];
  for (const rule of rules) {
    const kind = routeKind(rule);
    const key = objectKey(kind, options.namespace, rule.name);
    const registry = registryOfKey(rule.service);
    const hold = (reason: HoldReason, message: string) =>
      holds.push({
        reason,
        subject: key,
        service: rule.service,
        registry,
        message: `exposure ${rule.name}: ${message}`,
      });
    const entry = entryOf(rule.service);
    const port = entry === undefined ? undefined : portOf(rule, entry.spec.ports);
    if (standing.absentKinds?.has(kind) === true) hold("kind", absence(kind));
    else if (entry === undefined) {
      const [reason, message] = whyNoEntry(rule.service, registry);
      if (reason !== "service") kept.push(key);
      hold(reason, message);
    } else if (typeof port === "number") {
      const made = route(rule, key, entry.spec.hosts[0] ?? "", port);
      const stands = standing.objects.get(key);
      objects.push(made);
      // What a gateway says of a route that is about to change is out of date.
      if (stands?.refused !== undefined && sameObject(made, stands))
        hold("gateway", `Gateway ${placeOf(rule)} does not take it: ${stands.refused}`);
    } else {
      kept.push(key);
      hold("invalid", port ?? "");
    }
  }
  return { objects, kept, holds };

  /** The entry as it will stand once this pass is written. */
  function entryOf(service: ServiceKey): ServiceEntry | undefined {
    const built = desired.kept.has(service) ? undefined : desired.built.get(service)?.objects[0]?.manifest;
    return built?.kind === "ServiceEntry" ? built : standing.entries.get(service)?.manifest;
  }

  function whyNoEntry(service: ServiceKey, registry: string): readonly [HoldReason, string] {
    const hold = desired.kept.get(service);
    if (hold !== undefined) return [hold.reason, `its service ${service} is held: ${hold.message}`];
    const authority = catalog.authorities.get(registry);
    const failure = catalog.failed.get(service) ?? (authority?.state === "complete" ? undefined : authority);
    if (typeof failure === "string") return ["unread", failure];
    if (failure !== undefined) return ["unread", silence(failure)];
    return ["service", `registry ${registry} lists no service ${service.slice(registry.length + 1)}`];
  }

  function route(rule: ExposureRule, key: ObjectKey, host: string, port: number): OwnedObject {
    const { weight = 0, claimant } = stages?.get(rule.service) ?? {};
    const { clusterDomain = "cluster.local" } = options;
    const inside = claimant === undefined ? {} : { inside: { host: serviceHost(claimant, clusterDomain), weight } };
    const manifest = routeManifest(rule, { host, port, ...inside }, options);
    const before = memory.exposures.get(rule);
    if (before !== undefined && sameValue(before.manifest, manifest)) return before;
    const made = { key, service: rule.service, registry: registryOfKey(rule.service), manifest };
    memory.exposures.set(rule, made);
    return made;
  }
}

/** What should stand, with these routes. */
export function withExposures(desired: Desired, { objects, kept, holds }: Exposures): Desired {
  if (objects.length + kept.length + holds.length === 0) return desired;
  return {
    ...desired,
    objects: withObjects(desired.objects, objects),
    keptObjects: new Set([...desired.keptObjects, ...kept]),
    holds: [...desired.holds, ...holds],
  };
}

function withObjects(all: Desired["objects"], more: readonly OwnedObject[]): Desired["objects"] {
  const joined = new Map(all);
  for (const object of more) joined.set(object.service, [...(joined.get(object.service) ?? []), object]);
  return joined;
}

function absence(kind: MeshKind): string {
  const since = kind === "TCPRoute" ? ", which the Gateway API has since 1.6" : "";
  return `the cluster has no ${kind} in ${API_VERSIONS[kind]}${since}; with api: istio it needs none`;
}

/** The port that the rule means, or why it means none. */
function portOf({ port, hosts }: ExposureRule, ports: readonly EntryPort[]): number | string {
  const usable = ports.filter(({ protocol }) => protocol !== "UDP");
  if (usable.length === 0) return "its service has no port for TCP";
  const known = usable.map(({ number }) => number).join(", ");
  if (port !== undefined)
    return usable.some(({ number }) => number === port) ? port : `its service has no port ${port}: ${known}`;
  const http = hosts.length === 0 ? [] : usable.filter(({ protocol }) => isHttp(protocol));
  const [only, ...more] = http.length > 0 ? http : usable;
  if (only !== undefined && more.length === 0) return only.number;
  return `its service has several ports, one must be named by port: ${known}`;
}
