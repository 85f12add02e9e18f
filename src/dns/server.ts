import { isIPv4 } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { NameTable } from "../model/name-table.ts";
import { allowList } from "./allow.ts";
import type { Upstream, Zone } from "./answer.ts";
import { forwarder } from "./forward.ts";
import { holdQuestions } from "./hold.ts";
import { countInFlight } from "./in-flight.ts";
import { type DnsLog, quietLog } from "./quiet-log.ts";
import { type DnsHooks, responder } from "./respond.ts";
import { type ConnectionCount, countConnections, listenTcp, type TcpLimits, type TcpListener } from "./tcp.ts";
import { listenUdp, type UdpListener } from "./udp.ts";

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
  /** The names now; called for every query. Undefined as long as they are not known: SERVFAIL. */
  readonly table: () => NameTable | undefined;
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
  /** Take no more queries and let answers under way go out. Every port is free within 1 s. */
  stop(): Promise<void>;
}

const DEFAULT_LIMITS: DnsLimits = {
  maxConnections: 256,
  maxConnectionsPerClient: 32,
  idleMs: 10_000,
  maxHeld: 256,
  maxForwarded: 512,
  upstreamTimeoutMs: 2000,
};

/** How long a stop waits for answers under way, then for the SERVFAILs that replace them. Together well under 1 s. */
const STOP_GRACE_MS = 600;
const STOP_FLUSH_MS = 100;
/** Tries to find a port that is free for UDP and for TCP. */
const MAX_PORT_TRIES = 20;

type Listener = UdpListener | TcpListener;

/**
 * A DNS server over UDP and TCP (RFC 1035 §4.2, RFC 7766).
 *
 * @throws {Error} When a range in `allow` cannot be read.
 */
export function dnsServer(options: DnsServerOptions): DnsServer {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const log = quietLog(options.log);
  const isAllowed = allowList(options.allow);
  const inFlight = countInFlight();
  const connections: ConnectionCount = countConnections(limits);
  const hold = holdQuestions({ limit: limits.maxHeld });
  const upstreams = forwarder({ timeoutMs: limits.upstreamTimeoutMs, maxInFlight: limits.maxForwarded, log });
  const respond = responder({ ...options, hooks: options.hooks ?? {}, isAllowed, forwarder: upstreams, hold, log });
  const listeners: Listener[] = [];

  /** Where any port will do, UDP takes one and TCP has to follow. */
  async function listenBoth(where: ListenAddress): Promise<ListenAddress> {
    const common = { address: where.address, ipv6Only: hasIPv4Twin(where, options.listen), respond, inFlight, log };
    const udp = await explained("UDP", where, listenUdp({ ...common, port: where.port }));
    try {
      const tcp = listenTcp({ ...common, port: udp.port, isAllowed, connections, idleMs: limits.idleMs });
      listeners.push(await explained("TCP", where, tcp), udp);
      return { address: where.address, port: udp.port };
    } catch (error) {
      await udp.close();
      throw error;
    }
  }

  async function listenOne(where: ListenAddress): Promise<ListenAddress> {
    for (let tries = 1; ; tries++) {
      try {
        return await listenBoth(where);
      } catch (error) {
        if (where.port !== 0 || tries === MAX_PORT_TRIES || !isInUse(error)) throw error;
      }
    }
  }

  async function closeAll() {
    await Promise.all(listeners.splice(0).map((listener) => listener.close()));
  }

  return {
    async start() {
      const bound: ListenAddress[] = [];
      try {
        for (const where of options.listen) bound.push(await listenOne(where));
      } catch (error) {
        await closeAll();
        throw error;
      }
      return bound;
    },
    async stop() {
      for (const listener of listeners) listener.wind();
      await Promise.race([inFlight.idle(), sleep(STOP_GRACE_MS, undefined, { ref: false })]);
      hold.release();
      upstreams.close();
      await Promise.race([inFlight.idle(), sleep(STOP_FLUSH_MS, undefined, { ref: false })]);
      await closeAll();
    },
  };
}

/** An IPv6 socket takes IPv4 clients too, unless an IPv4 socket of its own is wanted on that port. */
function hasIPv4Twin({ port }: ListenAddress, listen: readonly ListenAddress[]): boolean {
  return listen.some((other) => isIPv4(other.address) && other.port === port);
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && (error.cause as NodeJS.ErrnoException | undefined)?.code === "EADDRINUSE";
}

const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: "it is in use; choose another with dns.listen",
  EACCES: "this user may not bind it; choose a port above 1023 with dns.listen, or allow it (CAP_NET_BIND_SERVICE)",
  EADDRNOTAVAIL: "this machine does not have the address; choose another with dns.listen",
};

async function explained<T>(
  protocol: "UDP" | "TCP",
  { address, port }: ListenAddress,
  listening: Promise<T>,
): Promise<T> {
  try {
    return await listening;
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    const where = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
    throw new Error(
      `Cannot listen for DNS on ${where} (${protocol}): ${ADVICE[code] ?? `the system says ${code || String(cause)}`}`,
      {
        cause,
      },
    );
  }
}
