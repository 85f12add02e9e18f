/** Something that was read, or why it could not be: a whole sentence without a full stop. */
export type Fact<Value> =
  | { readonly known: true; readonly value: Value }
  | { readonly known: false; readonly why: string };

/** What was read of a cluster to judge whether X2Istio can work in it. Each part may be unknown by itself. */
export interface ClusterFacts {
  /** Milliseconds since the epoch by the API server's clock. */
  readonly nowMs: number;
  /** `v1.36.2` */
  readonly version: Fact<string>;
  /** Plural names of the kinds that are served, by `group/version`. */
  readonly served: Fact<ReadonlyMap<string, ReadonlySet<string>>>;
  readonly namespaces: Fact<ReadonlyMap<string, NamespaceFact>>;
  readonly istio: Fact<IstioFacts>;
  /** Ready or not. */
  readonly istiodPods: Fact<readonly IstiodPod[]>;
  /** Those that run or are about to, in the whole cluster. */
  readonly pods: Fact<readonly PodFact[]>;
  readonly nodes: Fact<readonly NodeFact[]>;
  readonly services: Fact<readonly ServiceFact[]>;
  /** CIDRs from which Services get their addresses. */
  readonly serviceRanges: Fact<readonly string[]>;
  readonly entries: Fact<readonly EntryFact[]>;
  readonly sidecars: Fact<readonly SidecarFact[]>;
  /** DestinationRules for more than one host, and for all workloads of their namespace. */
  readonly tlsRules: Fact<readonly TlsRuleFact[]>;
  /** VirtualServices and DestinationRules of others, by the hosts that they are for. */
  readonly hostRules: Fact<readonly HostRuleFact[]>;
  /** Of the namespace of the cluster's DNS, those with a Corefile or a part of one. */
  readonly corefiles: Fact<readonly ConfigMapFact[]>;
  /** Ready endpoints of those Services that may be X2Istio's DNS, by `namespace/name`. */
  readonly dnsBackends: Fact<ReadonlyMap<string, number>>;
  /** In the order in which they were asked for. */
  readonly rights: Fact<readonly JudgedRight[]>;
}

export interface NamespaceFact {
  readonly labels: Readonly<Record<string, string>>;
  readonly isTerminating: boolean;
}

/** What the ConfigMaps and Leases of Istio's own namespace say. */
export interface IstioFacts {
  /** Text of `mesh` in ConfigMaps `istio` and `istio-<revision>`, by ConfigMap name. */
  readonly mesh: ReadonlyMap<string, string>;
  /** Text of `values` in ConfigMaps `istio-sidecar-injector` and `istio-sidecar-injector-<revision>`, by ConfigMap name. */
  readonly injectors: ReadonlyMap<string, string>;
  readonly elections: readonly ElectionFact[];
}

/** An election that an istiod takes part in. */
export interface ElectionFact {
  readonly name: string;
  readonly holder: string;
  /** The holder's revision; after `^` if it reads its configuration from another cluster. Empty if it is not said. */
  readonly key: string;
  readonly renewedMs: number;
}

export interface IstiodPod {
  readonly name: string;
  readonly revision: string;
  /** Tag of its image. */
  readonly version: string;
  readonly isReady: boolean;
  readonly env: Readonly<Record<string, string>>;
}

export interface PodFact {
  readonly namespace: string;
  readonly name: string;
  /** What has to be changed to change the pod; `undefined` when it stands alone. */
  readonly owner: { readonly kind: string; readonly name: string } | undefined;
  readonly addresses: readonly string[];
  readonly isHostNetwork: boolean;
  readonly hasSidecar: boolean;
  /** Value of the pod's label `istio.io/dataplane-mode`. */
  readonly dataplaneMode: string | undefined;
  /** Value of the label or annotation `sidecar.istio.io/inject`. */
  readonly inject: string | undefined;
  /** Values of the annotations `traffic.sidecar.istio.io/{include,exclude}OutboundIPRanges` and `excludeOutboundPorts`. */
  readonly includeRanges: string | undefined;
  readonly excludeRanges: string | undefined;
  readonly excludePorts: string | undefined;
  /** It is one of the cluster's DNS. */
  readonly isDns: boolean;
}

export interface NodeFact {
  readonly name: string;
  readonly podRanges: readonly string[];
  readonly addresses: readonly string[];
}

export interface ServiceFact {
  readonly namespace: string;
  readonly name: string;
  /** Its own, external ones and those of load balancers. */
  readonly addresses: readonly string[];
  /** Those of them that its author only asks for, as external ones. */
  readonly askedAddresses: readonly string[];
  /** Numbers of its UDP ports. */
  readonly udpPorts: readonly number[];
  /** It is labelled as X2Istio's. */
  readonly isOurs: boolean;
  /** It leads to the cluster's DNS. */
  readonly isClusterDns: boolean;
}

export interface EntryFact {
  readonly namespace: string;
  readonly name: string;
  /** Our labels are on it, whichever owner they name. */
  readonly isOurs: boolean;
  /** It was written by hand and asks to be filled. */
  readonly isPremade: boolean;
  /** As written; empty means the mesh's default. */
  readonly exportTo: readonly string[];
  /** Single addresses and CIDRs. */
  readonly addresses: readonly string[];
  /** Numbers of its ports. */
  readonly ports: readonly number[];
}

export interface SidecarFact {
  readonly namespace: string;
  readonly name: string;
  readonly hasSelector: boolean;
  /** `namespace/host`; `undefined` when it does not say: all. */
  readonly egressHosts: readonly string[] | undefined;
}

export interface TlsRuleFact {
  readonly namespace: string;
  readonly name: string;
  /** `*`, or `*.` and a domain. */
  readonly host: string;
  /** `ISTIO_MUTUAL`; `undefined` when it says nothing of TLS. */
  readonly mode: string | undefined;
  /** Other namespaces see it. */
  readonly isExported: boolean;
}

export interface HostRuleFact {
  readonly kind: "VirtualService" | "DestinationRule";
  readonly namespace: string;
  readonly name: string;
  /** As written, in lower case: a name without dots is a Service of the rule's namespace. */
  readonly hosts: readonly string[];
}

export interface ConfigMapFact {
  readonly namespace: string;
  readonly name: string;
  readonly data: Readonly<Record<string, string>>;
}

/** One verb on one resource: in one namespace, or in the whole cluster. */
export interface Right {
  readonly namespace?: string;
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  /** Of the only object that it is needed on. */
  readonly name?: string;
}

export interface JudgedRight {
  readonly right: Right;
  readonly isAllowed: boolean;
}
