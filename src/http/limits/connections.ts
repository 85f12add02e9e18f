import type { Socket } from "node:net";
import { clientOf } from "./clients.ts";

/** How many connections are kept, of all and of one client. */
export interface ConnectionLimits {
  readonly total: number;
  readonly perClient: number;
}

/** The connections of a server. */
export interface Connections {
  /** A new one is always taken: where there are too many, another one ends, of those who have most. */
  add(socket: Socket): void;
  /**
   * A request has arrived; call what is returned once it is answered. Undefined where the connection has sent too many before
   * the first of them was answered (pipelining, RFC 9112 §9.3.2).
   *
   * @param socket the one that was added, or TLS on top of it
   */
  ask(socket: Pick<Socket, "remoteAddress" | "remotePort">): (() => void) | undefined;
  /** End them all. */
  end(): void;
}

/** Requests of one connection that wait for their answers. */
const MOST_PIPELINED = 8;

interface Connection {
  readonly socket: Socket;
  /** Requests that are not answered yet. */
  asked: number;
}

/** In the order in which they became what they are, so the first is idle or busy for the longest time. */
interface Client {
  readonly idle: Map<string, Connection>;
  readonly busy: Map<string, Connection>;
}

/**
 * Shares of clients in the connections of a server. Whoever comes is let in, so that a probe never waits for those who keep
 * connections open: of a client with too many, and else of the client that has most, the one ends that has been idle
 * for longest, or if none is idle, that has been busy for longest.
 */
export function connections({ total, perClient }: ConnectionLimits): Connections {
  const clients = new Map<string, Client>();
  let count = 0;

  function endOne({ idle, busy }: Client): void {
    const part = idle.size > 0 ? idle : busy;
    for (const [key, { socket }] of part) {
      part.delete(key); // it closes later
      count--;
      socket.destroy();
      return;
    }
  }

  function makeRoom(client: Client): void {
    if (sizeOf(client) >= perClient) endOne(client);
    else if (count >= total) endOne([...clients.values()].reduce((a, b) => (sizeOf(b) > sizeOf(a) ? b : a), client));
  }

  return {
    add(socket) {
      const [key, name] = [keyOf(socket), clientOf(socket.remoteAddress)];
      const client = clients.get(name) ?? { idle: new Map(), busy: new Map() };
      const connection: Connection = { socket, asked: 0 };
      makeRoom(client);
      clients.set(name, client);
      client.idle.set(key, connection);
      count++;
      socket.once("close", () => {
        // Its address may be another connection's by now.
        for (const part of [client.idle, client.busy]) if (part.get(key) === connection && part.delete(key)) count--;
        if (sizeOf(client) === 0 && clients.get(name) === client) clients.delete(name);
      });
    },
    ask(from) {
      const key = keyOf(from);
      const client = clients.get(clientOf(from.remoteAddress));
      const connection = client?.busy.get(key) ?? client?.idle.get(key);
      if (client === undefined || connection === undefined || connection.asked === MOST_PIPELINED) return undefined;
      connection.asked++;
      if (client.idle.delete(key)) client.busy.set(key, connection);
      return () => {
        connection.asked--;
        if (connection.asked > 0 || client.busy.get(key) !== connection) return;
        client.busy.delete(key);
        client.idle.set(key, connection);
      };
    },
    end() {
      for (const { idle, busy } of clients.values())
        for (const { socket } of [...idle.values(), ...busy.values()]) socket.destroy();
    },
  };
}

function sizeOf({ idle, busy }: Client): number {
  return idle.size + busy.size;
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">): string {
  return `${remoteAddress}/${remotePort}`;
}
