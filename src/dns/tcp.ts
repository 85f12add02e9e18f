import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { clientAddress } from "./allow.ts";
import type { DnsLog } from "./quiet-log.ts";
import { type ConnectionOptions, serveConnection } from "./tcp-connection.ts";

/** Bounds on TCP connections, shared by all listeners of a server. */
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
  wind(): void;
  /** Drop what is left. */
  close(): Promise<void>;
}

/** Connections of clients that are not allowed: enough to tell them so, too few to keep others out. */
const MOST_REFUSED = 8;

/** Open connections, in all and by client. */
export interface ConnectionCount {
  /** False, and nothing counted, when a limit is reached. */
  enter(client: string, isAllowed: boolean): boolean;
  leave(client: string, isAllowed: boolean): void;
}

/** What a TCP listener needs. */
export interface TcpOptions extends Omit<ConnectionOptions, "client"> {
  readonly address: string;
  readonly port: number;
  readonly ipv6Only: boolean;
  readonly connections: ConnectionCount;
  readonly log: DnsLog;
}

/** Count connections under `limits`. */
export function countConnections(limits: TcpLimits): ConnectionCount {
  const byClient = new Map<string, number>();
  let total = 0;
  let refused = 0;
  return {
    enter(client, isAllowed) {
      const own = byClient.get(client) ?? 0;
      if (total >= limits.maxConnections || own >= limits.maxConnectionsPerClient) return false;
      if (!isAllowed && refused >= MOST_REFUSED) return false;
      if (!isAllowed) refused++;
      total++;
      byClient.set(client, own + 1);
      return true;
    },
    leave(client, isAllowed) {
      const own = byClient.get(client) ?? 0;
      if (!isAllowed) refused--;
      total--;
      if (own > 1) byClient.set(client, own - 1);
      else byClient.delete(client);
    },
  };
}

/**
 * Answer on a TCP port (RFC 7766): queries may be pipelined and are answered as their answers come (§6.2.1.1). A connection over the
 * limits is closed at once; one from a client that is not allowed, after the first answer.
 *
 * @throws The system's error when the port cannot be bound.
 */
export async function listenTcp(options: TcpOptions): Promise<TcpListener> {
  const { address, port, ipv6Only, connections, log } = options;
  const open = new Map<Socket, { readonly wind: () => void }>();
  // A client may end its side right after the query and still expect the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const client = clientAddress(socket.remoteAddress ?? "");
    const isAllowed = options.isAllowed(client);
    socket.on("error", () => socket.destroy());
    if (!connections.enter(client, isAllowed)) {
      log.warn({ client }, "too many TCP connections");
      socket.destroy();
      return;
    }
    open.set(socket, serveConnection(socket, { ...options, client }));
    socket.on("close", () => {
      open.delete(socket);
      connections.leave(client, isAllowed);
    });
  });
  const closed = new Promise((resolve) => server.once("close", resolve));
  server.listen({ host: address, port, ipv6Only, exclusive: true });
  await once(server, "listening");
  server.on("error", (error) => log.warn({ error }, "a TCP socket reports an error"));
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : port,
    wind() {
      server.close();
      for (const { wind } of open.values()) wind();
    },
    async close() {
      server.close();
      for (const socket of open.keys()) socket.destroy();
      await closed;
    },
  };
}
