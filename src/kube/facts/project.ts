import { fieldsOf, listOf, stringMapOf, stringsOf, timeOf } from "../../istio/fields.ts";
import type {
  ConfigMapFact,
  ElectionFact,
  EntryFact,
  HostRuleFact,
  IstiodPod,
  IstioFacts,
  NodeFact,
  PodFact,
  ServiceFact,
  SidecarFact,
  TlsRuleFact,
} from "../../model/cluster-facts.ts";
import { MANAGED_BY, MANAGED_BY_LABEL } from "../../model/objects.ts";
import { PREMADE_SERVICE_ANNOTATION } from "../../model/premade.ts";
import type { RawObject } from "../client/raw.ts";

const SIDECAR_CONTAINER = "istio-proxy";
const ELECTION_ANNOTATION = "control-plane.alpha.kubernetes.io/leader";
const HOLDER_KEY_ANNOTATION = "leader.istio.io/holder-key";

/** A pod that has not ended; `undefined` for one that has. */
export function toPod({ metadata = {}, spec, status }: RawObject): PodFact | undefined {
  const { phase, podIPs } = fieldsOf(status);
  if (phase === "Succeeded" || phase === "Failed") return undefined;
  const fields = fieldsOf(spec);
  const [labels, annotations] = [stringMapOf(metadata.labels), stringMapOf(metadata.annotations)];
  const containers = [...listOf(fields.containers), ...listOf(fields.initContainers)].map(fieldsOf);
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    owner: ownerOf(metadata, labels["pod-template-hash"]),
    addresses: stringsOf(listOf(podIPs).map((one) => fieldsOf(one).ip)),
    isHostNetwork: fields.hostNetwork === true,
    hasSidecar: containers.some(({ name }) => name === SIDECAR_CONTAINER),
    dataplaneMode: labels["istio.io/dataplane-mode"],
    inject: labels["sidecar.istio.io/inject"] ?? annotations["sidecar.istio.io/inject"],
    includeRanges: annotations["traffic.sidecar.istio.io/includeOutboundIPRanges"],
    excludeRanges: annotations["traffic.sidecar.istio.io/excludeOutboundIPRanges"],
    excludePorts: annotations["traffic.sidecar.istio.io/excludeOutboundPorts"],
    isDns: labels["k8s-app"] === "kube-dns" || labels["app.kubernetes.io/name"] === "coredns",
  };
}

/** The Deployment of a ReplicaSet is known by its name, which ends in the hash that is also on the pod. */
function ownerOf(metadata: object, hash: string | undefined): PodFact["owner"] {
  const [owner] = listOf(fieldsOf(metadata).ownerReferences).map(fieldsOf);
  if (typeof owner?.kind !== "string" || typeof owner.name !== "string") return undefined;
  const isOfDeployment = owner.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`);
  return isOfDeployment
    ? { kind: "Deployment", name: owner.name.slice(0, -hash.length - 1) }
    : { kind: owner.kind, name: owner.name };
}

/** A pod of istiod: revision and version as the chart and the image's tag say. */
export function toIstiodPod({ metadata = {}, spec, status }: RawObject): IstiodPod {
  const containers = listOf(fieldsOf(spec).containers).map(fieldsOf);
  const discovery = containers.find(({ name }) => name === "discovery") ?? containers[0] ?? {};
  const conditions = listOf(fieldsOf(status).conditions).map(fieldsOf);
  const env = listOf(discovery.env)
    .map(fieldsOf)
    .filter((one) => typeof one.name === "string" && typeof one.value === "string")
    .map(({ name, value }) => [String(name), String(value)] as const);
  return {
    name: metadata.name ?? "",
    revision: metadata.labels?.["istio.io/rev"] ?? "default",
    version: /:([^/:]+)$/.exec(String(discovery.image ?? "").replace(/@.*/, ""))?.[1] ?? "",
    isReady: conditions.some(({ type, status: is }) => type === "Ready" && is === "True"),
    env: Object.fromEntries(env),
  };
}

/** A node: the ranges of its pods, and its own addresses. */
export function toNode({ metadata, spec, status }: RawObject): NodeFact {
  const { podCIDR, podCIDRs } = fieldsOf(spec);
  const addresses = listOf(fieldsOf(status).addresses).map(fieldsOf);
  return {
    name: metadata?.name ?? "",
    podRanges: [...new Set(stringsOf([podCIDR, ...listOf(podCIDRs)]))],
    addresses: stringsOf(addresses.filter(({ type }) => /IP$/.test(String(type))).map(({ address }) => address)),
  };
}

/** A Service: its addresses, its UDP ports, and whether it is ours or the cluster's DNS. */
export function toService({ metadata = {}, spec, status }: RawObject): ServiceFact {
  const fields = fieldsOf(spec);
  const balancers = listOf(fieldsOf(fieldsOf(status).loadBalancer).ingress).map((ingress) => fieldsOf(ingress).ip);
  const asked = stringsOf(listOf(fields.externalIPs));
  const own = [fields.clusterIP, ...listOf(fields.clusterIPs), ...asked, ...balancers];
  const ports = listOf(fields.ports).map(fieldsOf);
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    addresses: [...new Set(stringsOf(own).filter((address) => address !== "None"))],
    askedAddresses: asked,
    udpPorts: ports.filter(({ protocol }) => protocol === "UDP").map(({ port }) => Number(port)),
    isOurs: metadata.labels?.["app.kubernetes.io/name"] === "x2istio",
    isClusterDns: metadata.labels?.["k8s-app"] === "kube-dns" || metadata.name === "kube-dns",
  };
}

/** A ServiceEntry: whose it is, who sees it, and what it occupies. */
export function toEntry({ metadata = {}, spec }: RawObject): EntryFact {
  const { exportTo, addresses, ports } = fieldsOf(spec);
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    isOurs: metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY,
    isPremade: metadata.annotations?.[PREMADE_SERVICE_ANNOTATION] !== undefined,
    exportTo: stringsOf(exportTo),
    addresses: stringsOf(addresses),
    ports: listOf(ports).map((port) => Number(fieldsOf(port).number)),
  };
}

/** A Sidecar: what its workloads see. */
export function toSidecar({ metadata = {}, spec }: RawObject): SidecarFact {
  const { workloadSelector, egress } = fieldsOf(spec);
  const hosts = listOf(egress).flatMap((one) => stringsOf(fieldsOf(one).hosts));
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    hasSelector: Object.keys(fieldsOf(fieldsOf(workloadSelector).labels)).length > 0,
    egressHosts: egress === undefined ? undefined : hosts,
  };
}

/** A ConfigMap with a Corefile, or with parts that one may import. */
export function toConfigMap({ metadata = {}, data }: RawObject): ConfigMapFact | undefined {
  const fields = stringMapOf(data);
  const parts = Object.entries(fields).filter(([key]) => key === "Corefile" || /\.(?:server|override)$/.test(key));
  if (parts.length === 0) return undefined;
  return { namespace: metadata.namespace ?? "", name: metadata.name ?? "", data: Object.fromEntries(parts) };
}

/** What Istio's own namespace says of it. Elections are held by ConfigMaps and by Leases. */
export function toIstio(configMaps: readonly RawObject[], leases: readonly RawObject[]): IstioFacts {
  const named = (match: RegExp, key: string) =>
    new Map(
      configMaps.flatMap(({ metadata, data }) => {
        const value = fieldsOf(data)[key];
        return match.test(metadata?.name ?? "") && typeof value === "string" ? [[metadata?.name ?? "", value]] : [];
      }),
    );
  return {
    mesh: named(/^istio(?:-|$)/, "mesh"),
    injectors: named(/^istio-sidecar-injector(?:-|$)/, "values"),
    elections: [...configMaps.flatMap(electionOfMap), ...leases.flatMap(electionOfLease)],
  };
}

function electionOfMap({ metadata }: RawObject): readonly ElectionFact[] {
  const record = metadata?.annotations?.[ELECTION_ANNOTATION];
  if (record === undefined) return [];
  try {
    const { holderIdentity, holderKey, renewTime } = fieldsOf(JSON.parse(record));
    return election(metadata?.name, holderIdentity, holderKey, renewTime);
  } catch {
    return [];
  }
}

function electionOfLease({ metadata, spec }: RawObject): readonly ElectionFact[] {
  const { holderIdentity, renewTime } = fieldsOf(spec);
  return election(metadata?.name, holderIdentity, metadata?.annotations?.[HOLDER_KEY_ANNOTATION], renewTime);
}

function election(name = "", holder: unknown, key: unknown, renewed: unknown): readonly ElectionFact[] {
  const renewedMs = timeOf(renewed);
  if (typeof holder !== "string" || holder === "" || renewedMs === undefined) return [];
  return [{ name, holder, key: typeof key === "string" ? key : "", renewedMs }];
}

/** A DestinationRule for more than one host; `undefined` for any other. */
export function toTlsRule({ metadata = {}, spec }: RawObject): TlsRuleFact | undefined {
  const { host, workloadSelector, trafficPolicy, exportTo } = fieldsOf(spec);
  if (typeof host !== "string" || !host.startsWith("*") || workloadSelector != null) return undefined;
  const { mode } = fieldsOf(fieldsOf(trafficPolicy).tls);
  const seenBy = stringsOf(exportTo);
  return {
    namespace: metadata.namespace ?? "",
    name: metadata.name ?? "",
    host,
    // A section without a mode has the first one of the API's.
    mode: fieldsOf(trafficPolicy).tls === undefined ? undefined : typeof mode === "string" ? mode : "DISABLE",
    isExported: seenBy.length === 0 || seenBy.includes("*"),
  };
}

/** The hosts of a VirtualService for sidecars, or of a DestinationRule, of someone else; `undefined` for one of ours, and where there are none. */
export function toHostRule(kind: HostRuleFact["kind"]): (raw: RawObject) => HostRuleFact | undefined {
  return ({ metadata = {}, spec }) => {
    if (metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY) return undefined;
    const { host, hosts, gateways } = fieldsOf(spec);
    const named = kind === "VirtualService" ? stringsOf(hosts) : stringsOf([host]);
    const bound = stringsOf(gateways);
    // One for gateways alone says nothing of callers in the mesh.
    if (named.length === 0 || (bound.length > 0 && !bound.includes("mesh"))) return undefined;
    const { namespace = "", name = "" } = metadata;
    return { kind, namespace, name, hosts: named.map((one) => one.toLowerCase()) };
  };
}
