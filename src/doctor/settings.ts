/** The part of a configuration that a cluster has to suit. */
export interface DoctorSettings {
  /** Path of the configuration, for messages. */
  readonly file: string;
  readonly owner: string;
  readonly registries: readonly {
    readonly name: string;
    readonly exportTo: readonly string[];
    readonly xds?: boolean;
    /** Templates. */
    readonly legacyNames?: readonly string[];
    readonly demand?: "all" | "reported";
    /** Of its own VIPs. */
    readonly ranges?: readonly string[] | undefined;
  }[];
  readonly hosts: { readonly template: string };
  /** What should be known of the templates of legacy names; reads on from the registry. */
  readonly templateWarnings?: readonly { readonly registry: string; readonly message: string }[];
  readonly aliases: readonly { readonly registry: string; readonly in: string }[];
  readonly vips: {
    readonly mode: "ledger" | "istio";
    readonly ranges: readonly string[];
    /** Of Istio's own VIPs. */
    readonly families?: readonly ("v4" | "v6")[] | undefined;
    readonly ledgerNamespace: string;
  };
  readonly policy: { readonly mode: "sync" | "upsert-only" | "dry-run" };
  readonly exposures: readonly { readonly api: "istio" | "gateway"; readonly hosts: readonly string[] }[];
  /** Who may claim services; nobody if left out. */
  readonly migration?: { readonly allow: readonly object[]; readonly claims: readonly object[] };
  readonly target: { readonly namespace: string; readonly clusterDomain: string };
  readonly dns: {
    readonly listen: readonly Socket[];
    readonly zones: readonly { readonly name: string; readonly forward: readonly Socket[] }[];
    readonly forward: readonly Socket[];
    /** CIDRs. */
    readonly allow: readonly string[];
  };
  /** Who may report that it calls a service, where anyone may, and whether the cluster is asked who may read. */
  readonly http?: { readonly reports?: { readonly tokenReview?: object }; readonly authorization?: object };
  readonly istioNamespace: string;
  readonly dnsNamespace: string;
  /** Whose rights were asked for, if not one's own. */
  readonly user?: string | undefined;
}

export interface Socket {
  readonly address: string;
  readonly port: number;
}

/** Names of the namespaces that aliases are written to, sorted. */
export function aliasNamespaces({ aliases }: Pick<DoctorSettings, "aliases">): readonly string[] {
  return [...new Set(aliases.map((rule) => rule.in))].sort();
}
