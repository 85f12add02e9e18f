import { createHash } from "node:crypto";
import { specWith } from "../../istio/host-names.ts";
import { aliasPortName, entryPort, isHttp, isMetaProtocol } from "../../istio/ports.ts";
import { DEMAND_ANNOTATION, IDLE_SINCE_ANNOTATION } from "../../model/demand.ts";
import {
  ALIASES_ANNOTATION,
  type AliasService,
  API_VERSIONS,
  AUTO_ALLOCATE_LABEL,
  EMPTY_SINCE_ANNOTATION,
  type EntryPort,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type Manifest,
  NAMES_ANNOTATION,
  OWNER_LABEL,
  PROVENANCE_ANNOTATION,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
  type ServiceEntry,
  SHRUNK_ANNOTATION,
  type VirtualService,
  WAYPOINT_LABEL,
  WAYPOINT_NAMESPACE_LABEL,
} from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import { writeNames } from "../names/names-annotation.ts";
import type { AliasName } from "../names/naming.ts";
import { serviceHost, stageRoutes } from "../stages/stage-routes.ts";
import { isPast, stageAnnotations } from "../stages/standing-stage.ts";
import type { ObjectOptions, Parts, RegistryRules } from "./desired.ts";
import { entryEndpoints } from "./entry-endpoints.ts";

/** What all manifests of a service share. */
interface Common {
  readonly parts: Parts;
  readonly rules: RegistryRules;
  /** Of the entry and the VirtualService. */
  readonly name: string;
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ports: readonly EntryPort[];
  readonly httpPorts: readonly EntryPort[];
  /** Legacy names that Istio can carry as hosts. */
  readonly carried: readonly string[];
}

/** A service's manifests, its entry first. */
export function manifestsOf(
  key: ServiceKey,
  parts: Parts,
  addresses: readonly string[],
  options: ObjectOptions,
): readonly Manifest[] {
  const { service, names } = parts;
  const ports = parts.standingPorts ?? service.ports.map(entryPort);
  const common: Common = {
    parts,
    rules: options.registries.get(service.registry) ?? { exportTo: ["*"], xds: false },
    name: entryName(names.host),
    namespace: options.namespace,
    clusterDomain: options.clusterDomain ?? "cluster.local",
    labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [OWNER_LABEL]: options.owner, [REGISTRY_LABEL]: service.registry },
    annotations: { [SERVICE_ANNOTATION]: key },
    ports,
    httpPorts: ports.filter(({ protocol }) => isHttp(protocol)),
    carried: names.legacyNames.filter(({ dnsOnly }) => dnsOnly === undefined).map((legacy) => legacy.name),
  };
  const isRouted = common.carried.length > 0 && common.httpPorts.length > 0;
  return [
    entryOf(common, addresses),
    ...(isRouted || isMoving(parts) || isAnnouncing(common) ? [virtualServiceOf(common)] : []),
    ...(isRouted && common.rules.xds ? [companionOf(common)] : []),
    ...names.aliases.map((alias) => aliasOf(common, alias)),
  ];
}

function isMoving({ stage }: Parts): boolean {
  return stage !== undefined && stage.stage !== "outside" && stage.claimant !== undefined;
}

/** Whether clients are to know a Service before any call is led there. */
function isAnnouncing({ parts: { stage }, httpPorts }: Common): boolean {
  return stage !== undefined && stage.announced.length > 0 && httpPorts.length > 0;
}

function entryOf(common: Common, addresses: readonly string[]): ServiceEntry {
  const { parts, rules, name, namespace, labels, annotations, ports } = common;
  const forAeraki = ports.some(isMetaProtocol) ? { manager: "aeraki", registry: parts.service.registry } : {};
  return {
    apiVersion: API_VERSIONS.ServiceEntry,
    kind: "ServiceEntry",
    metadata: {
      name,
      namespace,
      labels: { ...labels, ...forAeraki, ...waypointLabels(rules) },
      annotations: { ...annotations, ...entryAnnotations(parts) },
    },
    spec: specWith(
      {
        hosts: [parts.names.host],
        ...(addresses.length === 0 ? {} : { addresses }),
        ports,
        location: "MESH_INTERNAL",
        resolution: "STATIC",
        endpoints: [],
        exportTo: rules.exportTo,
      },
      entryEndpoints(parts.service, ports),
    ),
  };
}

function virtualServiceOf(common: Common): VirtualService {
  const { parts, rules, name, namespace, labels, annotations, ports, httpPorts, carried, clusterDomain } = common;
  const { host } = parts.names;
  const { claimant, weight = 0, announced = [], sni = [] } = parts.stage ?? {};
  const routes = isMoving(parts)
    ? stageRoutes(host, ports, { weight, claimant, announced, sni }, clusterDomain)
    : stageRoutes(host, httpPorts, { weight: 0, claimant: undefined, announced, sni: [] }, clusterDomain);
  return {
    apiVersion: API_VERSIONS.VirtualService,
    kind: "VirtualService",
    metadata: { name, namespace, labels, annotations },
    spec: { hosts: [host, ...carried], exportTo: rules.exportTo, ...routes },
  };
}

/** Gives `xds:///legacy:port` a listener; the VirtualService routes it. It has no endpoints, and no VIP may be made for it. */
function companionOf(common: Common): ServiceEntry {
  const { parts, rules, name, namespace, labels, annotations, httpPorts, carried } = common;
  const addresses = parts.legacyVips === "" ? {} : { addresses: parts.legacyVips.split(",") };
  return {
    apiVersion: API_VERSIONS.ServiceEntry,
    kind: "ServiceEntry",
    metadata: {
      name: companionName(name),
      namespace,
      labels: { ...labels, [AUTO_ALLOCATE_LABEL]: "false" },
      annotations,
    },
    spec: {
      hosts: carried,
      ...addresses,
      ports: httpPorts,
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      exportTo: rules.exportTo,
    },
  };
}

function aliasOf({ parts, labels, annotations, ports, clusterDomain }: Common, alias: AliasName): AliasService {
  const { stage = "outside", claimant } = parts.stage ?? {};
  return {
    apiVersion: API_VERSIONS.Service,
    kind: "Service",
    metadata: { name: alias.name, namespace: alias.namespace, labels, annotations },
    spec: {
      type: "ExternalName",
      externalName: isPast(stage) && claimant !== undefined ? serviceHost(claimant, clusterDomain) : parts.names.host,
      ports: ports.map((port) => ({
        name: aliasPortName(port),
        port: port.number,
        protocol: port.protocol === "UDP" ? "UDP" : "TCP",
      })),
    },
  };
}

/** Kubernetes allows 253 characters; the companion's suffix must still fit. */
export function entryName(host: string): string {
  if (host.length <= 240) return host;
  const hash = createHash("sha256").update(host).digest("hex").slice(0, 16);
  return `${host.slice(0, 223).replace(/[.-]+$/, "")}-${hash}`;
}

/** Of the entry that gives a service's legacy names an xDS listener. */
export function companionName(name: string): string {
  return `${name}-legacy`;
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
  aliases,
  emptySince: since,
  shrunk,
  demand,
  idleSince,
  stage,
  service,
}: Parts): Readonly<Record<string, string>> {
  return {
    ...(names.legacyNames.length === 0 ? {} : { [NAMES_ANNOTATION]: writeNames(names.legacyNames) }),
    ...(aliases === "" ? {} : { [ALIASES_ANNOTATION]: aliases }),
    ...(since === undefined ? {} : { [EMPTY_SINCE_ANNOTATION]: since }),
    ...(shrunk === undefined ? {} : { [SHRUNK_ANNOTATION]: shrunk }),
    ...(demand === undefined ? {} : { [DEMAND_ANNOTATION]: demand }),
    ...(idleSince === undefined ? {} : { [IDLE_SINCE_ANNOTATION]: idleSince }),
    ...stageAnnotations(stage),
    ...(service.provenance === undefined
      ? {}
      : { [PROVENANCE_ANNOTATION]: service.provenance.map(({ registry, count }) => `${registry}=${count}`).join(",") }),
  };
}
