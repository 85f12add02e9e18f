import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/**
 * What happens on the way to a server and back: answers come late, or not at all; connections are reset; answers end half way, come
 * drop by drop, or are damaged; or a gateway answers 503 to everything.
 */
export type NetworkFault = "delay" | "drop" | "reset" | "truncate" | "throttle" | "corrupt" | "503";

/** A way to a server on which everything can go wrong. */
export interface TcpProxy {
  readonly port: number;
  /** From now on, also on connections that are open. */
  set(fault: NetworkFault | undefined): void;
  /** Connections since the start. */
  connections(): number;
  stop(): Promise<void>;
}

const DELAY_MS = 700;
const THROTTLED_BYTES = 64;
const THROTTLE_MS = 50;
const UNAVAILABLE = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

interface Way {
  readonly client: Socket;
  readonly server: Socket;
  /** Bytes were lost: it cannot be used any more. */
  isBroken: boolean;
}

/** Start a proxy on loopback to `port` of loopback. */
export async function startTcpProxy(port: number): Promise<TcpProxy> {
  const ways = new Set<Way>();
  let fault: NetworkFault | undefined;
  let connections = 0;

  async function forward(chunk: Buffer, way: Way, to: Socket): Promise<void> {
    const isAnswer = to === way.client;
    if (fault === "drop") way.isBroken = true;
    else if (fault === "reset") end(way);
    else if (fault === "503") way.client.end(UNAVAILABLE);
    else if (!isAnswer || fault === undefined) to.write(chunk);
    else if (fault === "truncate") to.end(chunk.subarray(0, Math.ceil(chunk.length / 2)), () => way.server.destroy());
    else if (fault === "corrupt") to.write(chunk.map((byte, at) => (at % 5 === 4 ? byte ^ 0x80 : byte)));
    else if (fault === "delay") await delay(DELAY_MS).then(() => to.write(chunk));
    else
      for (let at = 0; at < chunk.length && !to.destroyed; at += THROTTLED_BYTES) {
        to.write(chunk.subarray(at, at + THROTTLED_BYTES));
        if (fault === "throttle") await delay(THROTTLE_MS);
      }
  }

  function end(way: Way): void {
    ways.delete(way);
    way.client.resetAndDestroy();
    way.server.destroy();
  }

  /** Chunks of one direction stay in order, however late they are. */
  function pump(from: Socket, to: Socket, way: Way): void {
    let last: Promise<void> = Promise.resolve();
    from.on("data", (chunk) => {
      last = last.then(() => forward(chunk, way, to)).catch(() => end(way));
    });
    from.on("end", () => void last.then(() => to.end()));
    from.on("error", () => end(way));
  }

  const listener = createServer((client) => {
    connections++;
    const way: Way = { client, server: connect(port, "127.0.0.1"), isBroken: false };
    ways.add(way);
    pump(client, way.server, way);
    pump(way.server, client, way);
    client.on("close", () => {
      ways.delete(way);
      way.server.destroy();
    });
  });
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", done));
  return {
    port: (listener.address() as AddressInfo).port,
    connections: () => connections,
    set(next) {
      fault = next;
      for (const way of ways) if (next === "reset" || (next === undefined && way.isBroken)) end(way);
    },
    async stop() {
      for (const way of ways) end(way);
      await new Promise((done) => listener.close(done));
    },
  };
}
