import type { MigrationRules } from "./claim.ts";
import type { ExposureRule } from "./exposure.ts";

/** Where a registry's endpoints may be, as CIDRs, and as domains for those that are host names. */
export interface EndpointRules {
  /** Only here; and here also where none is by default. Anywhere if left out. */
  readonly allow?: readonly string[];
  /** Not here, whatever else is said. */
  readonly deny?: readonly string[];
}

/** What all registries of a kind have in common. */
export interface RegistryTraits {
  /** The weight that registrants have by default; 1 if left out. */
  readonly defaultWeight?: number;
  /** Names are compared without case. */
  readonly caseless?: true;
}

/** What is decided of every registry, whatever its kind. */
export interface RegistrySettings extends RegistryTraits {
  readonly name: string;
  /** Cron expression with seconds. */
  readonly poll: string;
  /** Templates with {service}, {namespace} and {registry}. */
  readonly legacyNames: readonly string[];
  /** Whether names with dots may fill these, as several labels; default false. */
  readonly dots?: boolean;
  /** Whether a legacy name may be of one label; default false. */
  readonly singleLabels?: boolean;
  readonly exportTo: readonly string[];
  readonly xds: boolean;
  /** `<namespace>/<name>` of a waypoint, or `none`. */
  readonly waypoint?: string | undefined;
  /** Whether all services stand, or those that someone asked for. */
  readonly demand?: "all" | "reported";
  /** How long they stand after they were asked for last. */
  readonly demandTtlMs?: number;
  /** Networks that its endpoints are in, by region (a datacenter of Consul); `*` for all others. */
  readonly network?: Readonly<Record<string, string>> | undefined;
  /** What that default counts as among registries that are merged; 1 if left out. */
  readonly share?: number | undefined;
  /** How many of its services may stand; any number if left out. */
  readonly maxServices?: number | undefined;
  /** CIDRs that its new VIPs come from, and nobody else's; those of `vips` if left out. */
  readonly ranges?: readonly string[] | undefined;
}

/** Which services get an ExternalName Service, and what it is called. */
export interface AliasRule {
  readonly registry: string;
  /** Glob. */
  readonly namespace: string;
  /** Glob. */
  readonly service: string;
  /** Globs of services that it leaves out. */
  readonly exclude?: readonly string[] | undefined;
  /** Template with {service}, {namespace} and {registry}; `{service|dns}` is the DNS label that is made of a name. */
  readonly as: string;
  /** Kubernetes namespace of the ExternalName Service. */
  readonly in: string;
}

/** How much may be changed, and how fast. */
export interface PolicySettings {
  readonly mode: "sync" | "upsert-only" | "dry-run";
  /** Of the services that stand. */
  readonly maxDeletePercent: number;
  readonly minDeletes: number;
  /** Of the endpoints of a registry, each service counted alike. */
  readonly maxShrinkPercent: number;
  /** Fewer services that lose endpoints are no sudden loss. */
  readonly minShrinks: number;
  /** The sliding window, and how long a tombstone stands. */
  readonly keepEmptyMs: number;
  /** A brake ends once its registry has said the same for so long. If left out, 10 minutes for endpoints, never for services. */
  readonly releaseAfterMs?: number | undefined;
}

/** The part of a configuration that decides what should stand. */
export interface Settings {
  readonly owner: string;
  /** In configuration order. */
  readonly registries: readonly RegistrySettings[];
  readonly hosts: { readonly template: string };
  readonly aliases: readonly AliasRule[];
  readonly exposures: readonly ExposureRule[];
  /** Registries whose services are joined: the first stands for all. */
  readonly merge: readonly string[];
  readonly vips: {
    readonly mode: "ledger" | "istio";
    readonly ranges: readonly string[];
    readonly quarantineMs: number;
  };
  readonly policy: PolicySettings;
  readonly migration: MigrationRules;
  readonly target: { readonly namespace: string; readonly clusterDomain: string };
}
