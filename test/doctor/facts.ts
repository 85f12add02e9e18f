import { neededRights } from "../../src/doctor/checks/rights.ts";
import type { InstallationFacts } from "../../src/doctor/installation.ts";
import type { DoctorSettings } from "../../src/doctor/settings.ts";
import type {
  ClusterFacts,
  EntryFact,
  Fact,
  PodFact,
  ServiceFact,
  SidecarFact,
} from "../../src/model/cluster-facts.ts";

export const NOW_MS = Date.parse("2026-03-01T12:00:00Z");

export function known<Value>(value: Value): Fact<Value> {
  return { known: true, value };
}

export const DENIED: Fact<never> = { known: false, why: "Cannot list things: 403 Forbidden" };

/** Settings that suit {@link soundFacts}. */
export const settings: DoctorSettings = {
  file: "x2istio.yaml",
  owner: "main",
  registries: [{ name: "vms", exportTo: ["*"] }],
  hosts: { template: "{service}.{namespace}.{registry}.mesh.internal" },
  aliases: [{ registry: "vms", in: "shop" }],
  vips: { mode: "ledger", ranges: ["240.241.0.0/16"], ledgerNamespace: "mesh-services" },
  policy: { mode: "sync" },
  exposures: [],
  target: { namespace: "mesh-services", clusterDomain: "cluster.local" },
  dns: {
    listen: [{ address: "0.0.0.0", port: 5353 }],
    zones: [
      { name: "mesh.internal", forward: [] },
      { name: "consul", forward: [{ address: "192.0.2.53", port: 8600 }] },
    ],
    forward: [],
    allow: ["10.0.0.0/8"],
  },
  istioNamespace: "istio-system",
  dnsNamespace: "kube-system",
  user: "system:serviceaccount:x2istio-system:x2istio",
};

export function pod(name: string, fields: Partial<PodFact> = {}): PodFact {
  return {
    namespace: "shop",
    name,
    owner: { kind: "Deployment", name: "web" },
    addresses: ["10.244.0.7"],
    isHostNetwork: false,
    hasSidecar: true,
    dataplaneMode: undefined,
    inject: undefined,
    includeRanges: undefined,
    excludeRanges: undefined,
    excludePorts: undefined,
    isDns: false,
    ...fields,
  };
}

export function service(name: string, fields: Partial<ServiceFact> = {}): ServiceFact {
  return {
    namespace: "shop",
    name,
    addresses: ["10.96.7.7"],
    askedAddresses: [],
    udpPorts: [],
    isOurs: false,
    isClusterDns: false,
    ...fields,
  };
}

export function entry(name: string, fields: Partial<EntryFact> = {}): EntryFact {
  return {
    namespace: "mesh-services",
    name,
    isOurs: true,
    isPremade: false,
    exportTo: ["*"],
    addresses: ["240.241.0.9"],
    ports: [8080],
    ...fields,
  };
}

export function sidecar(fields: Partial<SidecarFact> = {}): SidecarFact {
  return { namespace: "shop", name: "default", hasSelector: false, egressHosts: undefined, ...fields };
}

export const coreDns = pod("coredns-1", {
  namespace: "kube-system",
  isDns: true,
  hasSidecar: false,
  addresses: ["10.244.0.3"],
});

/** A Corefile with a block for everything, and `more`. */
export function corefile(more: string): string {
  return `.:53 {\n    errors\n    kubernetes cluster.local {\n        pods insecure\n    }\n    forward . /etc/resolv.conf\n}\n${more}\n`;
}

export const STUB =
  "mesh.internal:53 consul:53 241.240.in-addr.arpa:53 {\n    forward . 10.96.0.53 {\n        max_fails 0\n    }\n}";

/** A cluster in which everything is as it should be. */
export const soundFacts: ClusterFacts = {
  nowMs: NOW_MS,
  version: known("v1.36.3"),
  served: known(
    new Map([["networking.istio.io/v1", new Set(["serviceentries", "virtualservices", "sidecars"])]]) as ReadonlyMap<
      string,
      ReadonlySet<string>
    >,
  ),
  namespaces: known(
    new Map([
      ["mesh-services", { labels: {}, isTerminating: false }],
      ["shop", { labels: { "istio-injection": "enabled" }, isTerminating: false }],
    ]),
  ),
  istio: known({
    mesh: new Map([["istio", "rootNamespace: istio-system"]]),
    injectors: new Map([
      ["istio-sidecar-injector", '{"global":{"proxy":{"includeIPRanges":"*","excludeIPRanges":""}}}'],
    ]),
    elections: [{ name: "istio-leader", holder: "istiod-1", key: "default", renewedMs: NOW_MS - 5000 }],
  }),
  istiodPods: known([{ name: "istiod-1", revision: "default", version: "1.31.1", isReady: true, env: {} }]),
  pods: known([coreDns, pod("web-1")]),
  nodes: known([{ name: "node-1", podRanges: ["10.244.0.0/24"], addresses: ["192.168.7.1"] }]),
  services: known([
    service("kube-dns", { namespace: "kube-system", isClusterDns: true, addresses: ["10.96.0.10"], udpPorts: [53] }),
    service("x2istio-dns", { namespace: "x2istio-system", isOurs: true, addresses: ["10.96.0.53"], udpPorts: [53] }),
  ]),
  serviceRanges: known(["10.96.0.0/16"]),
  entries: known([entry("orders.shop.vms.mesh.internal")]),
  sidecars: known([]),
  tlsRules: known([]),
  hostRules: known([]),
  corefiles: known([{ namespace: "kube-system", name: "coredns", data: { Corefile: corefile(STUB) } }]),
  dnsBackends: known(new Map([["x2istio-system/x2istio-dns", 2]])),
  rights: known(neededRights(settings).map((right) => ({ right, isAllowed: true }))),
};

export const installation: InstallationFacts = {
  names: ["orders.shop.vms.mesh.internal", "orders.service.consul"],
  clashes: [],
  vipClashes: [],
  aliasHosts: new Map([["shop/orders", "orders.shop.vms.mesh.internal"]]),
  ports: [],
  crowded: [],
  newForAll: 0,
  unread: [],
};
