import { createSocket } from "node:dgram";
import { createServer } from "node:net";

/**
 * Below those that systems give to sockets that ask for any (from 32768 on Linux, 49152 elsewhere): a server that is stopped finds its port free when it
 * starts again, however many sockets others open meanwhile.
 */
const [FIRST, COUNT] = [10_000, 22_000];

/** A port at which nobody answers on 127.0.0.1 now, by TCP or UDP. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if ((await isFreeForTcp(port)) && (await isFreeForUdp(port))) return port;
  }
}

function isFreeForTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function isFreeForUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => {
      socket.close();
      resolve(false);
    });
    socket.bind(port, "127.0.0.1", () => socket.close(() => resolve(true)));
  });
}
