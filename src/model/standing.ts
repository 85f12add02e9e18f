import type { Claim, MeshNamespace, PeerRule, SidecarScope } from "./claim.ts";
import type { Manifest, MeshKind, ObjectKey, ServiceEntry } from "./objects.ts";
import type { ServiceKey } from "./service.ts";

/** One object of ours as it stands in the target. A new version of it is a new object here. */
export interface StandingObject {
  readonly key: ObjectKey;
  /** From the annotation `x2istio.dev/service`; `undefined` when it is missing or malformed (such an object is held). */
  readonly service: ServiceKey | undefined;
  /** Of the service; from the label where there is none. */
  readonly registry: string;
  /** apiVersion, kind, name, namespace, all labels, all annotations and the whole spec; nothing else. */
  readonly manifest: Manifest;
  /** Empty in a directory. */
  readonly uid: string;
  /** Empty in a directory. */
  readonly resourceVersion: string;
  /** Milliseconds since the epoch, by the target's clock; `undefined` when the target does not know. */
  readonly createdMs: number | undefined;
  /** When this project last wrote it, if the target knows. */
  readonly writtenMs: number | undefined;
  /** `status.addresses` of a ServiceEntry: Istio's own VIPs, in the order given. */
  readonly statusAddresses: readonly string[];
  /** Set when someone took it over (a selector, another type) or it was released: why it is left alone from now on. */
  readonly yielded?: string;
  /** Set when whoever it is for does not take it: why. */
  readonly refused?: string;
  /** Set while it is being deleted and somebody's finalizer keeps it: which. It is not touched, and its names are answered until it is gone. */
  readonly terminating?: string;
}

/**
 * A ServiceEntry that someone else wrote by hand, asking for the ports and endpoints of a service: nothing else of it is ours.
 * `service` and `registry` are what it asks for; where no registry can be told, `yielded` says why.
 */
export interface PremadeEntry extends StandingObject {
  readonly manifest: ServiceEntry;
  /** It stands where others than the operator may write: how many endpoints it had says nothing of its registry. */
  readonly isApart?: true;
}

/** An object that is not ours, reduced to what can clash with ours. */
export interface ForeignObject {
  /** ServiceEntry, VirtualService, HTTPRoute or Service. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** For a Service: its name only. For the others: the hosts they speak for, but for those that are handed over to us. */
  readonly hosts: readonly string[];
  /** spec and status addresses of a ServiceEntry; cluster IPs of a Service and those its load balancer got. Single addresses only. */
  readonly addresses: readonly string[];
  /** `externalIPs` and `loadBalancerIP` of a Service: they prove nothing, as its author may write any. Single addresses only. */
  readonly askedAddresses?: readonly string[];
  readonly createdMs: number | undefined;
  /** Another installation's owner label, when it has one. */
  readonly owner?: string;
  /** Set on a VirtualService that not every namespace sees. */
  readonly isNarrow?: true;
  /** Hosts of an entry that an operator hands over to us. */
  readonly handedOver?: readonly string[];
}

/** A ledger ConfigMap as it stands. */
export interface StandingLedgerBlock {
  /** ConfigMap name, `x2istio-vips-<block>`. */
  readonly name: string;
  readonly resourceVersion: string;
  readonly data: Readonly<Record<string, string>>;
}

/** What is in the target now: a live read-only view. Stages read it without awaiting in between. */
export interface Standing {
  /** Objects with our owner label. */
  readonly objects: ReadonlyMap<ObjectKey, StandingObject>;
  /** Of everyone else's ServiceEntries, VirtualServices, HTTPRoutes and Services what can clash with ours, by object key. */
  readonly foreign: ReadonlyMap<ObjectKey, ForeignObject>;
  /** Those of them that are to be filled. */
  readonly premade: ReadonlyMap<ObjectKey, PremadeEntry>;
  /** By ConfigMap name. */
  readonly ledger: ReadonlyMap<string, StandingLedgerBlock>;
  /** `undefined` for a target without namespaces of its own (a directory): every namespace is there. */
  readonly namespaces: ReadonlyMap<string, "active" | "terminating"> | undefined;
  /** Kinds that the target cannot hold: the cluster lacks their definition. */
  readonly absentKinds?: ReadonlySet<MeshKind>;
  /** Services that say they replace a service of a registry, by object key; those of a configuration are here whether they exist or not. */
  readonly claims?: ReadonlyMap<ObjectKey, Claim>;
  /** By object key; like the two below only where claims are allowed. */
  readonly sidecars?: ReadonlyMap<ObjectKey, SidecarScope>;
  /** By object key. */
  readonly peerRules?: ReadonlyMap<ObjectKey, PeerRule>;
  /** By namespace; one that says nothing of the mesh is left out. */
  readonly meshNamespaces?: ReadonlyMap<string, MeshNamespace>;
}
