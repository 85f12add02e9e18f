import type { ServiceKey } from "./service.ts";

/** On a Service in the cluster: what it replaces, `<registry>/<namespace>/<service>`. */
export const REPLACES_ANNOTATION = "x2istio.dev/replaces";
/** On that Service: the stage that is asked for; `outside` without it. */
export const STAGE_ANNOTATION = "x2istio.dev/stage";
/** On that Service: share of the calls that go to it at `split`, 0–100; 0 without it. */
export const WEIGHT_ANNOTATION = "x2istio.dev/weight";
/** On that Service: any text. Another text makes the same request a new one, which is what ends an automatic step back. */
export const REQUEST_ANNOTATION = "x2istio.dev/request";
/** On that Service: every server name that TLS callers send, with commas between. */
export const SNI_ANNOTATION = "x2istio.dev/sni";

/** On a ServiceEntry: the stage that its objects stand at; `outside` without it. */
export const EFFECTIVE_STAGE_ANNOTATION = "x2istio.dev/effective-stage";
/** On a ServiceEntry past `outside`: `<namespace>/<name>` of the Service that calls are led to. */
export const CLAIMANT_ANNOTATION = "x2istio.dev/effective-claimant";
/** On a ServiceEntry at `split`: share of the calls that are led to it. */
export const EFFECTIVE_WEIGHT_ANNOTATION = "x2istio.dev/effective-weight";
/** On a ServiceEntry at `inside` or `retired`: the addresses that legacy names are answered with, with commas between. */
export const INSIDE_ADDRESSES_ANNOTATION = "x2istio.dev/inside-addresses";
/** On a ServiceEntry: the request from which it stepped back by itself. It is not followed again until it changes. */
export const STEPPED_BACK_ANNOTATION = "x2istio.dev/stepped-back";

/**
 * Where a service is. `split`: a share of its calls goes to the Service that replaces it. `inside`: all do, and its aliases and
 * legacy names lead there by themselves. `retired`: the same, and its registry has had nothing of it for long.
 */
export type Stage = "outside" | "split" | "inside" | "retired";

/** In the order in which a service walks. */
export const STAGES: readonly Stage[] = ["outside", "split", "inside", "retired"];

/** A Service by name. */
export interface ClaimantRef {
  readonly namespace: string;
  readonly name: string;
}

/** A port of a Service. */
export interface ClaimPort {
  /** Empty when the Service gives it none. */
  readonly name: string;
  readonly number: number;
  /** Istio's protocol in upper case, from `appProtocol` or the name's prefix; `undefined` when neither says it (Istio then guesses). */
  readonly protocol: string | undefined;
  readonly transport: string;
}

/** What is asked of a claim's service. */
export interface StageRequest {
  readonly stage: Stage;
  /** 0–100: 0 at `outside`, 100 past `split`. */
  readonly weight: number;
}

/** A Service in the cluster that says it replaces a service of a registry. Whether that counts is for `migration.allow` to say. */
export interface Claim extends ClaimantRef, StageRequest {
  /** `undefined` when what it replaces cannot be read: `problems` says so. */
  readonly service: ServiceKey | undefined;
  /** Who says so: the Service's own annotations, or `migration.claims`. */
  readonly source: "annotation" | "configuration";
  /** As in {@link REQUEST_ANNOTATION}; empty without it. */
  readonly request: string;
  /** Every server name that TLS callers send; `undefined` when they are not listed. */
  readonly sni: readonly string[] | undefined;
  /** What the cluster says of the Service; `undefined` when there is no such Service, or no cluster to ask. */
  readonly live: LiveClaimant | undefined;
  /** What is wrong with the annotations themselves: sentences without a full stop. */
  readonly problems: readonly string[];
}

/** What a cluster says of a claimant. */
export interface LiveClaimant {
  /** `ClusterIP`, `ExternalName`, … */
  readonly type: string;
  readonly ports: readonly ClaimPort[];
  /** Single addresses; empty for a headless Service. */
  readonly clusterIPs: readonly string[];
  /** Endpoints that are ready, over all its EndpointSlices. */
  readonly readyEndpoints: number;
  readonly selector: Readonly<Record<string, string>>;
  /** Annotation `networking.istio.io/exportTo`; empty means the mesh's default, which is everyone. */
  readonly exportTo: readonly string[];
}

/** Who may claim what: a claim of a Service's own annotations counts only where one of these says so. */
export interface AllowRule {
  readonly registry: string;
  /** Glob. */
  readonly namespace: string;
  /** Glob. */
  readonly service: string;
  /** Globs of Kubernetes namespaces. */
  readonly by: readonly string[];
}

/** A claim that the operator makes for a Service. */
export interface ConfiguredClaim extends StageRequest {
  readonly service: ServiceKey;
  readonly by: ClaimantRef;
  readonly request: string;
  readonly sni: readonly string[] | undefined;
}

/** How services are moved. */
export interface MigrationRules {
  readonly allow: readonly AllowRule[];
  readonly claims: readonly ConfiguredClaim[];
  /** Whether calls go outside again by themselves when the claimant has nothing ready. */
  readonly stepBack: boolean;
  /** Whether a service goes inside again after that, and retires, by itself. */
  readonly auto: boolean;
  /** How long a registry must have had nothing of a service, and nobody asked for it, before it can be retired. */
  readonly retireAfterMs: number;
}

/** A Sidecar: what the workloads of a namespace see of the mesh. */
export interface SidecarScope {
  readonly namespace: string;
  readonly name: string;
  /** `<namespace>/<host>`; `undefined` when it does not say: all. */
  readonly egressHosts: readonly string[] | undefined;
}

/** A PeerAuthentication: what the workloads of a namespace accept. */
export interface PeerRule {
  readonly namespace: string;
  readonly name: string;
  /** Labels of the workloads that it is for; none means the whole namespace. */
  readonly matchLabels: Readonly<Record<string, string>>;
  /** `STRICT`, `PERMISSIVE`, `DISABLE`; `undefined` or `UNSET` leave it to the next wider rule. */
  readonly mode: string | undefined;
  /** A port of it is `STRICT`. */
  readonly hasStrictPort: boolean;
}

/** How a namespace takes part in the mesh; one without any of the labels is not known here. */
export interface MeshNamespace {
  /** `istio.io/dataplane-mode: ambient` */
  readonly isAmbient: boolean;
  /** Its pods get sidecars: `istio-injection: enabled`, or a revision. */
  readonly isInjected: boolean;
  /** `istio.io/use-waypoint`, but for `none`. */
  readonly hasWaypoint: boolean;
}

/** What a step needs and does not have. */
export type BlockerKind =
  | "allow" // migration.allow does not let this namespace claim this service
  | "ambient" // ambient callers without a waypoint
  | "annotation" // the claim cannot be read
  | "endpoints" // nothing ready on the side that calls would go to
  | "export" // some callers would not see the new host
  | "ports" // other numbers or protocols
  | "registry" // the registry does not have the service, or still has it
  | "retire" // it is too early
  | "route" // someone else routes the old host
  | "second" // another Service claims it too
  | "service" // the Service cannot take calls: missing, headless, an ExternalName
  | "sidecar" // a Sidecar would hide the new host
  | "sni" // TLS callers whose server names are not all listed
  | "stepped-back" // it stepped back by itself; the request has to be made anew
  | "strict"; // callers outside the mesh, and mutual TLS only

/** Why a step is refused. */
export interface Blocker {
  readonly kind: BlockerKind;
  /** One sentence without a full stop that says what to do. */
  readonly message: string;
}

/** Where a service is, where it is to go, and what is in the way. */
export interface StageDecision {
  readonly service: ServiceKey;
  readonly registry: string;
  /** The stage that its objects are to stand at now: at most one step from that at which they stand. */
  readonly stage: Stage;
  /** Share of calls that go inside: 0 at `outside`, 100 past `split`. */
  readonly weight: number;
  /** The Service that calls are led to; `undefined` at `outside`. */
  readonly claimant: ClaimantRef | undefined;
  /** Services that routes name beside where they lead, so that all clients know them before a call is led there. */
  readonly announced: readonly ClaimantRef[];
  /** When the next step may be taken, if it waits until all clients know where it leads. */
  readonly settlesAtMs: number | undefined;
  /** The claim that counts; `undefined` without one, or with two. */
  readonly claim: Claim | undefined;
  /** Where the steps lead that are still to be taken, each in a pass of its own; `undefined` once it is there. */
  readonly towards: StageRequest | undefined;
  /** What was asked and is refused: nothing changes for it. */
  readonly refusedTo: StageRequest | undefined;
  /** Why; also given before the next step is asked for. */
  readonly blockers: readonly Blocker[];
  /** Addresses that legacy names are answered with; none before `inside`. */
  readonly addresses: readonly string[];
  /** Server names that TLS ports are routed by. */
  readonly sni: readonly string[];
  /** The request from which it stepped back by itself. */
  readonly steppedBackFrom: string | undefined;
}

/** The operator's claim, with what the cluster says of the Service. */
export function configuredClaim(
  { by, service, stage, weight, request, sni }: ConfiguredClaim,
  live: LiveClaimant | undefined,
): Claim {
  return { ...by, service, stage, weight, request, sni, source: "configuration", live, problems: [] };
}
