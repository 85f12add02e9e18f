import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import type { NameTable } from "../model/name-table.ts";
import type { Upstream, Zone } from "./answer.ts";
import type { DnsHooks } from "./events.ts";
import { followedNames } from "./names.ts";
import type { DnsLog } from "./quiet-log.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { TcpLimits } from "./tcp.ts";
import { dnsThread } from "./thread.ts";
import type { View } from "./views.ts";
import { dnsWorkers } from "./workers.ts";

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
  /** Asked for names outside of all zones. Must not lead back to a listen address. */
  readonly forward: readonly Upstream[];
  /** Ranges of addresses whose queries are answered; all others are REFUSED. */
  readonly allow: readonly string[];
  /**
   * The names now. Undefined as long as they are not known: SERVFAIL. Without workers it is called for every query, with workers at
   * the start and by `refresh`.
   */
  readonly table: () => NameTable | undefined;
  /** What this server calls itself to those who ask by NSID (RFC 5001); by default it does not tell. */
  readonly nsid?: string;
  /** Whether TXT tells which service a name leads to. Default false. */
  readonly tellsServices?: boolean;
  /** What clients are given, by the first that has them; all others get the VIPs. */
  readonly views?: readonly View[];
  /** Ranges of resolvers whose word counts for where their clients are (RFC 7871). Default none. */
  readonly clientSubnetFrom?: readonly string[];
  /** Default none. */
  readonly rateLimit?: RateLimit;
  /** Share of questions that `hooks.onQuery` is told, from 0 to 1; 100 a second of each thread at most. Default 0. */
  readonly queryLog?: number;
  /** Memory of each thread for what upstreams said. Default 16 MiB; 0: nothing is kept. */
  readonly cacheBytes?: number;
  /** Threads that answer. 0, the default: this one. */
  readonly workers?: number;
  readonly log: DnsLog;
  readonly hooks?: DnsHooks;
  readonly limits?: Partial<DnsLimits>;
}

/** Bounds; every one has a default. */
export interface DnsLimits extends TcpLimits {
  /** Questions held back at a time. Default 256. */
  readonly maxHeld: number;
  /** Questions under way to upstreams at a time. Default 512. */
  readonly maxForwarded: number;
  /** Patience with one upstream. Default 2000. */
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
  /** Tell that `table` may give another table than before. */
  refresh(): void;
  /** Whether what is answered is the table of the last `refresh`. */
  isCurrent(): boolean;
  /** Take no more queries and let answers under way go out. Every port is free within 1 s. */
  stop(): Promise<void>;
}

/** One thread for every core that this process may use; a container's CPU limit counts. */
export function workersByDefault(): number {
  return availableParallelism();
}

/**
 * A DNS server over UDP and TCP (RFC 1035 §4.2, RFC 7766).
 *
 * @throws {Error} When a range in `allow` cannot be read.
 */
export function dnsServer(options: DnsServerOptions): DnsServer {
  const { workers = 0, table, ...others } = options;
  // Of the process: a client whose next question reaches another thread keeps its cookie.
  const rest = { ...others, cookieSecret: randomBytes(32) };
  if (workers > 0) return dnsWorkers({ ...rest, table, workers });
  const thread = dnsThread({ ...rest, names: followedNames(table), tcp: true, reusePort: false });
  return { ...thread, refresh() {}, isCurrent: () => true };
}
