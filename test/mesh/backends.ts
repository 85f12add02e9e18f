import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ECHO_RESPONSE } from "./calls.ts";
import { encode } from "./protobuf.ts";

/** A server outside the mesh that says who it is. */
export interface Backend {
  readonly protocol: "http" | "tcp" | "grpc";
  /** What it answers: an HTTP body, a line of TCP; in gRPC as the version of Istio's echo server. */
  readonly who: string;
  /** Of the ranges that are outside the cluster; `0.0.0.0` for all there are. */
  readonly address: string;
  readonly port: number;
}

/** A running {@link Backend}. */
export interface RunningBackend {
  /** How many calls it has answered. */
  calls(): number;
  stop(): Promise<void>;
}

/** Start a backend in this process. */
export async function startBackend(backend: Backend): Promise<RunningBackend> {
  let calls = 0;
  const sockets = new Set<{ destroy(): void }>();
  const server = makers[backend.protocol](backend.who, () => calls++);
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  for (let attempt = 1; !(await listens(server, backend)); attempt++) {
    if (attempt === 20) throw new Error(`Cannot listen on ${backend.address}:${backend.port}`);
    await sleep(50); // its predecessor on that port may not be quite gone
  }
  server.unref();
  return {
    calls: () => calls,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listens(server: Server, { address, port }: Backend): Promise<boolean> {
  server.removeAllListeners("listening");
  return new Promise((resolve) => {
    const refused = () => resolve(false);
    server.once("error", refused);
    server.listen({ port, host: address, backlog: 1024 });
    server.once("listening", () => {
      server.off("error", refused);
      resolve(true);
    });
  });
}

const makers: Readonly<Record<Backend["protocol"], (who: string, count: () => void) => Server>> = {
  http: (who, count) =>
    // A proxy may send a call on a connection that is being closed for having been idle.
    createHttpServer({ keepAliveTimeout: 0 }, (_, response) => {
      count();
      response.end(who);
    }),
  tcp: (who, count) =>
    createTcpServer((socket) => {
      count();
      socket.on("error", () => {});
      socket.end(`${who}\n`);
    }),
  grpc: (who, count) =>
    createHttp2Server().on("stream", (stream: ServerHttp2Stream) => {
      count();
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(grpcMessage(encode([[ECHO_RESPONSE.message, `ServiceVersion=${who}`]])));
    }),
};

/** One message as gRPC frames it: uncompressed, length, bytes. */
function grpcMessage(body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}
