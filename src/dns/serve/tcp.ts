import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { clientNetwork } from "../../istio/addresses.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import { type Shares, shares } from "../share/shares.ts";
import { clientAddress } from "./allow.ts";
import { type Connection, type ConnectionOptions, serveConnection } from "./tcp-connection.ts";

/** Bounds on TCP connections, shared by all listeners of a server. Whoever is one too many closes the connection that was idle longest. */
export interface TcpLimits {
  /** Default 256. */
  readonly maxConnections: number;
  /** Default 32. */
  readonly maxConnectionsPerClient: number;
  /** Time without a whole query or an answer after which a connection is closed (RFC 7766 §6.2.3). Default 10,000. */
  readonly idleMs: number;
}

/** A bound TCP port that answers. */
export interface TcpListener {
  readonly port: number;
  /** Take no more connections and queries; answers under way still go out. */
  drain(): void;
  /** Drop what is left. */
  close(): Promise<void>;
}

/** Connections of clients that are not allowed: enough to refuse them, too few to take the place of others. */
const MOST_REFUSED = 8;

/** Open connections, of clients that are allowed and of others. */
export interface Connections {
  readonly allowed: Shares<Closable>;
  readonly others: Shares<Closable>;
}

/** The part of a connection that makes room. */
export interface Closable {
  readonly client: string;
  destroy(): void;
}

/** What a TCP listener needs. */
export interface TcpOptions extends Omit<ConnectionOptions, "client" | "onActive"> {
  readonly address: string;
  readonly port: number;
  readonly ipv6Only: boolean;
  readonly connections: Connections;
  readonly log: DnsLog;
}

/**
 * Connections under `limits`. When all are taken, the client that has most loses the one that was idle longest, so that no number of
 * connections locks out who has fewer.
 */
export function connectionShares(limits: TcpLimits, onDropped: (client: string) => void): Connections {
  const drop = (connection: Closable) => {
    onDropped(connection.client);
    connection.destroy();
    return undefined;
  };
  const { maxConnections: most, maxConnectionsPerClient: mostOfOne } = limits;
  return { allowed: shares({ most, mostOfOne, drop }), others: shares({ most: MOST_REFUSED, drop }) };
}

/**
 * Answer on a TCP port (RFC 7766): queries may be pipelined and are answered as their answers come (§6.2.1.1). A connection from a client
 * that is not allowed is closed after the first answer.
 *
 * @throws The system's error when the port cannot be bound.
 */
export async function listenTcp(options: TcpOptions): Promise<TcpListener> {
  const { address, port, ipv6Only, connections, log } = options;
  const open = new Map<Socket, Connection>();
  // A client may end its side right after the query and still expect the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const client = clientAddress(socket.remoteAddress ?? "");
    const sharer = clientNetwork(client);
    const shared = options.isAllowed(client) ? connections.allowed : connections.others;
    const place = { client, destroy: () => void socket.destroy() };
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      open.delete(socket);
      shared.remove(sharer, place);
    });
    open.set(socket, serveConnection(socket, { ...options, client, onActive: () => shared.touch(sharer, place) }));
    shared.add(sharer, place);
  });
  const closed = new Promise((resolve) => server.once("close", resolve));
  server.listen({ host: address, port, ipv6Only, exclusive: true });
  await once(server, "listening");
  server.on("error", (error) => log.warn({ error }, "a TCP socket reports an error"));
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : port,
    drain() {
      server.close();
      for (const { drain } of open.values()) drain();
    },
    async close() {
      server.close();
      for (const socket of open.keys()) socket.destroy();
      await closed;
    },
  };
}
