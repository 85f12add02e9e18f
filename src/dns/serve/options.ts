import type { NameTable } from "../../model/name-table.ts";
import type { View } from "../answer/views.ts";
import type { Zone } from "../answer/zones.ts";
import type { Upstream } from "../forward/upstream.ts";
import type { DnsHooks } from "../observe/hooks.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import type { NamesMaker } from "../ready/names.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { TcpLimits } from "./tcp.ts";

/** A numeric address and a port. */
export interface ListenAddress {
  readonly address: string;
  /** 0: any free port, the same for UDP and TCP. */
  readonly port: number;
}

/** What a DNS server needs. */
export interface DnsServerOptions {
  readonly listen: readonly ListenAddress[];
  /** TTL of positive answers. Denials have 5 s. */
  readonly ttlSeconds: number;
  /** Zones of ours; with `forward`, overlays. */
  readonly zones: readonly Zone[];
  /** Asked for names outside of all zones. Must not be a listen address, or forward to one. */
  readonly forward: readonly Upstream[];
  /** Ranges of addresses whose queries are answered; all others are REFUSED. */
  readonly allow: readonly string[];
  /**
   * The names now. Undefined as long as they are not known: SERVFAIL. Without workers it is called for every query, with workers at
   * the start and by `refresh`.
   */
  readonly table: () => NameTable | undefined;
  /** Name of this server for clients that ask by NSID (RFC 5001); by default none is given. */
  readonly nsid?: string;
  /** Whether TXT tells which service a name leads to. Default false. */
  readonly tellsServices?: boolean;
  /** What clients are given, by the first that has them; all others get the VIPs. */
  readonly views?: readonly View[];
  /** Ranges of resolvers that are trusted to say where their clients are (RFC 7871). Default none. */
  readonly clientSubnetFrom?: readonly string[];
  /** Default none. */
  readonly rateLimit?: RateLimit;
  /** Share of questions that `hooks.onQuery` gets, from 0 to 1; 100 a second of each thread at most. Default 0. */
  readonly queryLog?: number;
  /** Memory of each thread for what upstreams said. Default 16 MiB; 0: nothing is kept. */
  readonly cacheBytes?: number;
  /** Threads that answer. 0, the default: this one. */
  readonly workers?: number;
  readonly log: DnsLog;
  readonly hooks?: DnsHooks;
  readonly limits?: Partial<DnsLimits>;
}

/** Bounds, of which each client has its share; every one has a default. */
export interface DnsLimits extends TcpLimits {
  /** Questions held back at a time. Default 256. */
  readonly maxHeld: number;
  /** Questions under way to upstreams at a time, in each thread. Default 512. */
  readonly maxForwarded: number;
  /** How long one upstream is waited for. Default 2000. */
  readonly upstreamTimeoutMs: number;
}

/** A server that can be started once and stopped once. */
export interface DnsServer {
  /**
   * Bind every address for UDP and TCP; all or none.
   *
   * @throws {Error} A sentence that names the address, the port and what to do.
   */
  start(): Promise<readonly ListenAddress[]>;
  /** Take note that `table` may give another table than before. */
  refresh(): void;
  /** Whether what is answered is the table of the last `refresh`. */
  isCurrent(): boolean;
  /** Take no more queries and let answers under way go out. Every port is free within 1 s. */
  stop(): Promise<void>;
}

/** What one thread needs to answer. */
export interface ThreadOptions extends Omit<DnsServerOptions, "table" | "workers"> {
  readonly names: NamesMaker;
  readonly cookieSecret: Uint8Array;
  /** Whether this thread also takes TCP; of several threads one does, so that its limits hold for all. */
  readonly tcp: boolean;
  /** How long ready-made answers may wait to be counted. Default 0. */
  readonly tallyMs?: number;
  /** Whether other threads listen on the same ports. */
  readonly reusePort: boolean;
}

/** What a server of several threads needs. */
export type WorkersOptions = DnsServerOptions & { readonly workers: number; readonly cookieSecret: Uint8Array };
