import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { apiServer } from "./api-server.ts";

/** An API server in memory, on loopback. */
export interface ServedApi {
  /** `http://127.0.0.1:<port>` */
  readonly address: string;
  stop(): Promise<void>;
}

const BOOKMARK_MS = 1000;

/** Serve an API server that has these namespaces and nothing else. */
export async function serveApi(namespaces: readonly string[]): Promise<ServedApi> {
  const api = apiServer(Date.now);
  for (const name of namespaces)
    api.handle({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
  const server = createServer((request, response) => void answer(request, response));

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "" } = request;
    if (path.includes("watch=1")) return watch(path, response);
    const body = method === "GET" ? undefined : await json(request).catch(() => undefined);
    const { status, body: answered } = api.handle({ method, path, body });
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answered));
  }

  function watch(path: string, response: ServerResponse): void {
    const opened = api.watch(path, (line) => response.write(line));
    if ("status" in opened) return void response.writeHead(opened.status).end(JSON.stringify(opened.body));
    response.flushHeaders();
    const timer = setInterval(() => api.bookmark(opened), BOOKMARK_MS);
    response.on("close", () => {
      clearInterval(timer);
      api.unwatch(opened);
    });
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
