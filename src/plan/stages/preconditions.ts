import { entryPort, isHttp, isMetaProtocol } from "../../istio/ports.ts";
import type { Blocker, BlockerKind, Claim, ClaimantRef, LiveClaimant } from "../../model/claim.ts";
import { DEMAND_ANNOTATION, readDemand } from "../../model/demand.ts";
import type { EntryPort } from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { ForeignObject, Standing } from "../../model/standing.ts";
import type { CatalogService } from "../catalog/catalog.ts";
import type { ServiceNames } from "../names/naming.ts";
import type { StandingEntry } from "../standing.ts";
import { hiddenBy } from "./sidecars.ts";
import { isTls, serviceHost } from "./stage-routes.ts";
import { strictRule } from "./strict.ts";

/** What a step forward is judged by. */
export interface StepInput {
  readonly key: ServiceKey;
  readonly service: CatalogService;
  readonly names: ServiceNames;
  readonly entry: StandingEntry;
  readonly claim: Claim;
  readonly standing: Pick<Standing, "sidecars" | "peerRules" | "meshNamespaces" | "namespaces">;
  /** Someone else's route for the old host. */
  readonly route: ForeignObject | undefined;
  /** Whom the entry is exported to, as configured. */
  readonly exportTo: readonly string[];
  /** `<namespace>/<name>` of the registry's waypoint, or `none`. */
  readonly waypoint: string | undefined;
  /** Where the entries stand. */
  readonly namespace: string;
  readonly clusterDomain: string;
}

/** A Service as people write it: `shop/orders-v2`. */
export function nameOf({ namespace, name }: ClaimantRef): string {
  return `${namespace}/${name}`;
}

/** All that is in the way of a step forward; each says what to do. What only a cluster knows is not asked of a folder. */
export function blockersOf(input: StepInput): readonly Blocker[] {
  const { claim, standing } = input;
  const isCluster = standing.namespaces !== undefined;
  const ports = portsOf(input);
  return [
    ...(isCluster ? claimantBlockers(claim) : []),
    ...(claim.live === undefined ? [] : portBlockers(input, ports, claim.live)),
    ...uncarried(input, ports),
    ...sniBlockers(input, ports),
    ...routeBlockers(input),
    ...(claim.live === undefined ? [] : exportBlockers(input, claim.live)),
    ...sidecarBlockers(input),
    ...ambientBlockers(input),
    ...(claim.live === undefined ? [] : strictBlockers(input, claim.live)),
  ];
}

/** The ports as they stand on the entry after this pass. */
function portsOf({ service, entry }: StepInput): readonly EntryPort[] {
  return service.ports.length === 0 ? entry.manifest.spec.ports : service.ports.map(entryPort);
}

function blocker(kind: BlockerKind, message: string): readonly Blocker[] {
  return [{ kind, message }];
}

function claimantBlockers(claim: Claim): readonly Blocker[] {
  const who = nameOf(claim);
  const { live } = claim;
  if (live === undefined) return blocker("service", `there is no Service ${who}: create it`);
  if (live.type === "ExternalName")
    return blocker(
      "service",
      `Service ${who} is an ExternalName, which has no endpoints: name the Service it leads to`,
    );
  if (live.clusterIPs.length === 0)
    return blocker(
      "service",
      `Service ${who} is headless: give it a ClusterIP, which legacy names can be answered with`,
    );
  if (live.readyEndpoints === 0)
    return blocker("endpoints", `${who} has no ready endpoint: make sure that one of its pods is ready`);
  return [];
}

function portBlockers({ key, claim }: StepInput, ports: readonly EntryPort[], live: LiveClaimant): readonly Blocker[] {
  const who = nameOf(claim);
  return ports.flatMap((port) => {
    const own = live.ports.find(({ number, transport }) => number === port.number && transport !== "UDP");
    if (own === undefined)
      return blocker(
        "ports",
        `${who} has no port ${port.number}, by which ${key} is called: give it one of that number`,
      );
    if (kindOf(port.protocol) === kindOf(own.protocol ?? "TCP")) return [];
    const protocol = port.protocol.toLowerCase();
    return blocker(
      "ports",
      `port ${port.number} is ${port.protocol} at ${key} and ${own.protocol ?? "of no declared protocol"} at ${who}: set its appProtocol to ${protocol}`,
    );
  });
}

/** Protocols of one kind are routed by the same section of a VirtualService, and spoken alike. */
function kindOf(protocol: string): string {
  if (protocol === "GRPC" || protocol === "HTTP2") return "HTTP2";
  if (isHttp(protocol) || protocol === "HTTP_PROXY" || protocol === "UDP") return protocol;
  return isTls({ protocol }) ? "TLS" : "TCP";
}

function uncarried({ key }: StepInput, ports: readonly EntryPort[]): readonly Blocker[] {
  return ports.flatMap((port) => {
    const move = `move ${key} by its registry instead`;
    if (isMetaProtocol(port))
      return blocker("ports", `port ${port.number} is routed by Aeraki, which knows no VirtualService: ${move}`);
    if (port.protocol === "UDP" || port.protocol === "HTTP_PROXY")
      return blocker("ports", `port ${port.number} is ${port.protocol}, which no VirtualService routes: ${move}`);
    return [];
  });
}

/** Once a route by server name stands, Istio resets calls by any other. */
function sniBlockers({ key, claim, names }: StepInput, ports: readonly EntryPort[]): readonly Blocker[] {
  const port = ports.find(isTls);
  if (port === undefined) return [];
  if (claim.sni === undefined || claim.sni.length === 0)
    return blocker(
      "sni",
      `port ${port.number} is ${port.protocol}: list every server name that its callers send in annotation x2istio.dev/sni of ${nameOf(claim)}`,
    );
  const hosts = new Set(hostsOf(names));
  const unknown = claim.sni.filter((name) => !hosts.has(name));
  return unknown.length === 0
    ? []
    : blocker("sni", `${key} does not have the server names ${unknown.join(", ")}: make them legacy names of it first`);
}

/** The names that a VirtualService of a service is for. */
export function hostsOf({ host, legacyNames }: ServiceNames): readonly string[] {
  return [host, ...legacyNames.filter(({ dnsOnly }) => dnsOnly === undefined).map(({ name }) => name)];
}

function routeBlockers({ route, names: { host }, claim, clusterDomain }: StepInput): readonly Blocker[] {
  if (route === undefined) return [];
  const { kind, namespace, name } = route;
  return blocker(
    "route",
    `${kind} ${namespace}/${name} routes ${host} already, and Istio uses only the older one: take ${host} out of it, or add ${serviceHost(claim, clusterDomain)} to its routes, at first to one that no call takes, and move by it`,
  );
}

function exportBlockers({ key, claim, exportTo, namespace }: StepInput, live: LiveClaimant): readonly Blocker[] {
  const seenBy = new Set(live.exportTo.map((one) => (one === "." ? claim.namespace : one)));
  if (seenBy.size === 0 || seenBy.has("*")) return [];
  const callers = exportTo.map((one) => (one === "." ? namespace : one)).filter((one) => one !== "~");
  const missing = callers.filter((one) => !seenBy.has(one));
  if (missing.length === 0) return [];
  const whom = missing.includes("*") ? "everyone" : missing.join(", ");
  return blocker(
    "export",
    `${key} is exported to ${whom}, ${nameOf(claim)} is not: add ${missing.join(", ")} to its annotation networking.istio.io/exportTo`,
  );
}

function sidecarBlockers({
  names,
  claim,
  standing,
  exportTo,
  namespace,
  clusterDomain,
}: StepInput): readonly Blocker[] {
  const old = { namespace, host: names.host };
  const now = { namespace: claim.namespace, host: serviceHost(claim, clusterDomain) };
  return [...(standing.sidecars?.values() ?? [])]
    .filter((one) => isSeenFrom(one.namespace, exportTo, namespace))
    .flatMap((sidecar) =>
      hiddenBy(sidecar, old, now)
        ? blocker(
            "sidecar",
            `Sidecar ${nameOf(sidecar)} shows its workloads ${names.host} but not ${now.host}: add ${now.namespace}/${now.host} to its egress hosts`,
          )
        : [],
    );
}

/** Namespaces of Istio's own may speak for all others. */
function isSeenFrom(caller: string, exportTo: readonly string[], namespace: string): boolean {
  return (
    exportTo.some((one) => one === "*" || one === caller || (one === "." && caller === namespace)) ||
    caller === "istio-system"
  );
}

function ambientBlockers({ names, standing, exportTo, namespace, waypoint }: StepInput): readonly Blocker[] {
  const meshed = standing.meshNamespaces ?? new Map();
  const hasWaypoint = waypoint === undefined ? meshed.get(namespace)?.hasWaypoint === true : waypoint !== "none";
  if (hasWaypoint) return [];
  const ambient = [...meshed].flatMap(([name, { isAmbient }]) =>
    isAmbient && isSeenFrom(name, exportTo, namespace) ? [name] : [],
  );
  return ambient.length === 0
    ? []
    : blocker(
        "ambient",
        `callers in ambient namespaces (${some(ambient)}) go through no waypoint, and nothing else there applies weights: give the registry of ${names.host} a waypoint`,
      );
}

function strictBlockers({ key, entry, claim, standing }: StepInput, live: LiveClaimant): readonly Blocker[] {
  const rule = strictRule([...(standing.peerRules?.values() ?? [])], claim.namespace, live.selector);
  if (rule === undefined) return [];
  const demand = readDemand(entry.manifest.metadata.annotations?.[DEMAND_ANNOTATION]);
  const callers = (demand?.callers ?? []).map((caller) => caller.split("/")[0] ?? caller);
  const outside = callers.filter((caller) => standing.namespaces?.has(caller) === true && !takesPart(caller, standing));
  return outside.length === 0
    ? []
    : blocker(
        "strict",
        `PeerAuthentication ${nameOf(rule)} has ${nameOf(claim)} take mutual TLS only, and callers of ${key} in ${some([...new Set(outside)])} are outside the mesh: bring them into it, or make the rule PERMISSIVE`,
      );
}

function takesPart(namespace: string, { meshNamespaces }: StepInput["standing"]): boolean {
  const { isAmbient = false, isInjected = false } = meshNamespaces?.get(namespace) ?? {};
  return isAmbient || isInjected;
}

function some(names: readonly string[]): string {
  const shown = [...names].sort().slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
