import { isIPv4 } from "node:net";
import type { ListenAddress } from "./options.ts";
import { listenTcp, type TcpListener, type TcpOptions } from "./tcp.ts";
import { listenUdp, type UdpListener, type UdpOptions } from "./udp.ts";

/** A bound port. */
export type Listener = UdpListener | TcpListener;

/** What binding needs besides an address. */
export type ListenOptions = Omit<UdpOptions & TcpOptions, "address" | "port" | "ipv6Only"> & {
  /** False: only UDP, where another thread has TCP. */
  readonly tcp: boolean;
};

/** What was bound. */
export interface Bound {
  readonly listeners: readonly Listener[];
  readonly addresses: readonly ListenAddress[];
}

/** Tries to find a port that is free for UDP and for TCP. */
const MAX_PORT_TRIES = 20;

/**
 * Bind every address for UDP and TCP; all or none.
 *
 * @throws {Error} A sentence that names the address, the port and what to do.
 */
export async function listenAll(listen: readonly ListenAddress[], options: ListenOptions): Promise<Bound> {
  const listeners: Listener[] = [];
  const addresses: ListenAddress[] = [];
  try {
    for (const where of listen) {
      const bound = await listenOne(where, hasIPv4Twin(where, listen), options);
      listeners.push(...bound.listeners);
      addresses.push(...bound.addresses);
    }
  } catch (error) {
    await Promise.all(listeners.map((listener) => listener.close()));
    throw error;
  }
  return { listeners, addresses };
}

async function listenOne(where: ListenAddress, ipv6Only: boolean, options: ListenOptions): Promise<Bound> {
  for (let tries = 1; ; tries++) {
    try {
      return await listenBoth(where, ipv6Only, options);
    } catch (error) {
      if (where.port !== 0 || tries === MAX_PORT_TRIES || !isInUse(error)) throw error;
    }
  }
}

/** Where any port will do, UDP takes one and TCP has to follow. */
async function listenBoth(where: ListenAddress, ipv6Only: boolean, options: ListenOptions): Promise<Bound> {
  const { address } = where;
  const udp = await explained("UDP", where, listenUdp({ ...options, ...where, ipv6Only }));
  const addresses = [{ address, port: udp.port }];
  if (!options.tcp) return { listeners: [udp], addresses };
  try {
    const tcp = await explained("TCP", where, listenTcp({ ...options, address, port: udp.port, ipv6Only }));
    return { listeners: [tcp, udp], addresses };
  } catch (error) {
    await udp.close();
    throw error;
  }
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
