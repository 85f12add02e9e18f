import type { z } from "zod";
import type { EndpointRules, RegistrySettings, RegistryTraits, Settings } from "../model/settings.ts";

/** One entry of `registries`. */
export interface RegistryConfig extends RegistrySettings {
  readonly kind: string;
  readonly dots: boolean;
  readonly singleLabels: boolean;
  readonly endpoints: EndpointRules;
  readonly demand: "all" | "reported";
  readonly demandTtlMs: number;
  /** As the adapter's own schema gives them. */
  readonly options: unknown;
}

/** A socket address; `address` is an IP address in canonical text. */
export interface SocketAddress {
  readonly address: string;
  /** 0 lets the system choose, where it is listened on. */
  readonly port: number;
}

/** A zone that is ours, or with `forward` an overlay on someone else's. */
export interface ZoneConfig {
  readonly name: string;
  readonly forward: readonly UpstreamConfig[];
}

/** Another DNS server. */
export interface UpstreamConfig extends SocketAddress {
  /** Ask by TLS. `ca` is a file with certificates in PEM, absolute. */
  readonly tls?: { readonly name: string; readonly ca?: string };
}

/** What some clients are given for the names of services. */
export interface ViewConfig {
  readonly name: string;
  readonly clients: readonly string[];
  /** Or addresses of a gateway. */
  readonly answer: "vips" | "endpoints" | readonly string[];
  readonly region?: string;
  readonly zone?: string;
}

/** Where the objects go. A directory's `path` is absolute. */
export type TargetConfig = Settings["target"] &
  ({ readonly kind: "directory"; readonly path: string } | { readonly kind: "kubernetes"; readonly context?: string });

/** The section `vips`. */
export type VipConfig = Settings["vips"] & {
  /** Of Istio's VIPs, those that are answered. */
  readonly families: readonly ("v4" | "v6")[];
  readonly ledgerNamespace: string;
};

/** How names are exchanged with another x2istio; files are absolute. */
export interface NamesConfig {
  /** What proves names to those who know it, too. */
  readonly secretFile?: string;
  /** Certificates in PEM by which the other is believed instead of those of the system. */
  readonly ca?: string;
  /** A token for the other, if it wants one. */
  readonly tokenFile?: string;
  /** Names that are taken besides those in the zones; "" for all. */
  readonly suffixes: readonly string[];
}

/** The section `dns`. */
export interface DnsConfig {
  readonly listen: readonly SocketAddress[];
  readonly ttlSeconds: number;
  readonly zones: readonly ZoneConfig[];
  readonly names: NamesConfig;
  readonly forward: readonly UpstreamConfig[];
  /** Memory of each thread for what upstreams said. */
  readonly cacheMiB: number;
  /** CIDR ranges that are answered. */
  readonly allow: readonly string[];
  /** What the server calls itself to those who ask (NSID). */
  readonly nsid?: string;
  /** Whether TXT tells which service a name leads to. */
  readonly tellsServices: boolean;
  /** What clients are given, by the first that has them; all others get the VIPs. */
  readonly views: readonly ViewConfig[];
  /** CIDR ranges of resolvers that are believed where their clients are. */
  readonly clientSubnetFrom: readonly string[];
  readonly rateLimit?: { readonly perSecond: number; readonly slip: number };
  /** Share of questions that are logged. */
  readonly queryLog: number;
  /** Threads that answer; one for each core if left out. */
  readonly workers?: number;
}

/** Who may report that it calls a service. */
export interface ReportsConfig {
  /** Absolute; a token on each line. */
  readonly tokenFile?: string;
  /** Audiences of which tokens must have one, as the cluster's token review finds. */
  readonly tokenReview?: { readonly audiences: readonly string[] };
  /** How long an answer may wait until the service can be called. */
  readonly waitMs: number;
  /** Reports of one caller. */
  readonly perSecond: number;
}

/** The section `http`. */
export interface HttpConfig {
  readonly listen: SocketAddress;
  /** Files in PEM, absolute. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** The cluster is asked who may read from other machines. Without an audience, tokens for its API server count. */
  readonly authorization?: { readonly audiences: readonly string[] };
  readonly reports?: ReportsConfig;
  /** How long a process that began with an empty target is not ready as a registry has not been read. */
  readonly readyWaitMs: number;
}

/** A checked configuration file: what decides what should stand, and how the process runs. */
export interface Config extends Settings {
  /** As it was asked for. */
  readonly file: string;
  /** Its folder, absolute: relative paths in it start here. */
  readonly dir: string;
  readonly registries: readonly RegistryConfig[];
  readonly vips: VipConfig;
  readonly target: TargetConfig;
  readonly dns: DnsConfig;
  readonly http: HttpConfig;
}

/** What a configuration depends on besides its text. */
export interface ConfigContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** By kind, the schema of the options that only this kind of registry takes. */
  readonly adapters: Readonly<Record<string, { readonly options: z.ZodType; readonly traits?: RegistryTraits }>>;
}
