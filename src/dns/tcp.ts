import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { clientAddress } from "./allow.ts";
import type { InFlight } from "./in-flight.ts";
import { HEADER_BYTES } from "./message.ts";
import type { DnsLog } from "./quiet-log.ts";
import type { Respond } from "./respond.ts";
import { frame, frameReader } from "./tcp-frame.ts";

/** The largest query taken by TCP; a real one has one name and a few options. */
const MAX_QUERY_BYTES = 4096;
/** Queries of one connection that may wait for their answers; then it is read no further. */
const MAX_PIPELINED = 64;
/** Octets of answers that a client may leave unread; then it is read no further. */
const MAX_UNREAD_BYTES = 128 * 1024;

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

/** Open connections, in all and by client. */
export interface ConnectionCount {
  /** False, and nothing counted, when a limit is reached. */
  enter(client: string): boolean;
  leave(client: string): void;
}

/** What a TCP listener needs. */
export interface TcpOptions {
  readonly address: string;
  readonly port: number;
  readonly ipv6Only: boolean;
  readonly respond: Respond;
  readonly isAllowed: (address: string) => boolean;
  readonly connections: ConnectionCount;
  readonly idleMs: number;
  readonly inFlight: InFlight;
  readonly log: DnsLog;
}

/** Count connections under `limits`. */
export function countConnections(limits: TcpLimits): ConnectionCount {
  const byClient = new Map<string, number>();
  let total = 0;
  return {
    enter(client) {
      const own = byClient.get(client) ?? 0;
      if (total >= limits.maxConnections || own >= limits.maxConnectionsPerClient) return false;
      total++;
      byClient.set(client, own + 1);
      return true;
    },
    leave(client) {
      const own = byClient.get(client) ?? 0;
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
    socket.on("error", () => socket.destroy());
    if (!connections.enter(client)) {
      log.warn({ client }, "too many TCP connections");
      socket.destroy();
      return;
    }
    open.set(socket, serve(socket, client, options));
    socket.on("close", () => {
      open.delete(socket);
      connections.leave(client);
    });
  });
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
      const closed = server.listening || open.size > 0 ? once(server, "close") : undefined;
      server.close();
      for (const socket of open.keys()) socket.destroy();
      await closed;
    },
  };
}

/** Serve one connection until it is closed. `wind` ends it after the answers to all that was received. */
function serve(socket: Socket, client: string, options: TcpOptions): { readonly wind: () => void } {
  const { respond, isAllowed, inFlight, idleMs } = options;
  const read = frameReader(MAX_QUERY_BYTES);
  const waiting: Buffer[] = [];
  let pending = 0;
  let isTaking = true;
  let isProceeding = false;

  // Not socket.setTimeout: that one starts anew with every octet, so a slow sender could stay for ever.
  const idle = setTimeout(onIdle, idleMs);

  function onIdle() {
    // An upstream may be slower than we are patient with clients; its answers are bounded in time by the forwarder.
    if (pending > 0 && socket.writableLength === 0) idle.refresh();
    else socket.destroy();
  }

  function take(packet: Buffer) {
    pending++;
    idle.refresh();
    if (!isAllowed(client)) {
      isTaking = false;
      waiting.length = 0;
    }
    const reply = respond(packet, client, "tcp");
    if (reply instanceof Promise) inFlight.track(reply.then(send));
    else send(reply);
  }

  function send(reply: Buffer | undefined) {
    pending--;
    if (reply !== undefined && !socket.destroyed) {
      idle.refresh();
      inFlight.begin();
      socket.write(frame(reply), () => inFlight.end());
    }
    proceed();
  }

  function isBusy(): boolean {
    return socket.destroyed || pending >= MAX_PIPELINED || socket.writableLength > MAX_UNREAD_BYTES;
  }

  function proceed() {
    if (isProceeding) return;
    isProceeding = true;
    while (!isBusy()) {
      const packet = waiting.shift();
      if (packet === undefined) break;
      take(packet);
    }
    isProceeding = false;
    if (isBusy() && isTaking) socket.pause();
    else socket.resume();
    if (!isTaking && pending === 0 && waiting.length === 0) socket.destroySoon();
  }

  function onData(chunk: Buffer) {
    if (!isTaking) return;
    const packets = read(chunk);
    // Without a header there is no ID to answer to, and whoever sends that, or a query this long, does not speak DNS.
    if (packets === undefined || packets.some((packet) => packet.length < HEADER_BYTES)) {
      socket.destroy();
      return;
    }
    waiting.push(...packets);
    proceed();
  }

  function wind() {
    isTaking = false;
    proceed();
  }

  socket.on("data", onData);
  socket.on("drain", proceed);
  socket.on("end", wind);
  socket.on("close", () => clearTimeout(idle));
  return { wind };
}
