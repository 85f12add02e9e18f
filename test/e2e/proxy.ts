import { readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Agent, request as forward } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { stringify } from "yaml";
import type { Kube } from "../servers/kube.ts";
import { tempDir } from "./fixture.ts";

/** What to answer instead of forwarding. */
export interface Refusal {
  readonly status: number;
}

/** What happens to a request; `lost`: it is carried out, and its answer gets lost. */
export type Fate = Refusal | "lost" | undefined;

/** A proxy in front of the API server, in which requests can be made to wait, or be refused. */
export interface PausingProxy {
  /** Path of a kubeconfig that leads through the proxy with this token. */
  kubeconfigFor(token: string): Promise<string>;
  /** Called with "GET /path?query" before a request is passed on, which waits for it. */
  before: (request: string) => Promise<Fate> | Fate;
  /** Break off all watches. */
  endWatches(): void;
}

/** Start a proxy; it ends with the test. */
export async function pausingProxy(t: TestContext, kube: Kube): Promise<PausingProxy> {
  const dir = await tempDir(t);
  const agent = new Agent({ ca: await readFile(kube.caFile), keepAlive: true });
  const watches = new Set<ServerResponse>();
  let kubeconfigs = 0;

  async function pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const line = `${incoming.method} ${incoming.url}`;
    const fate = await proxy.before(line);
    if (fate !== undefined && fate !== "lost") {
      response.writeHead(fate.status, { "content-type": "application/json" });
      response.end(JSON.stringify({ kind: "Status", code: fate.status }));
      return;
    }
    const { method, headers } = incoming;
    const outgoing = forward(kube.url + incoming.url, { method, headers, agent }, (answer) => {
      if (fate === "lost") {
        answer.resume();
        response.destroy();
        return;
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    if (line.includes("watch=1")) watches.add(response);
    outgoing.on("error", () => response.destroy());
    response.on("close", () => {
      watches.delete(response);
      outgoing.destroy();
    });
    incoming.pipe(outgoing);
  }
  const server = createServer((incoming, response) => void pass(incoming, response));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  t.after(async () => {
    server.closeAllConnections();
    agent.destroy();
    await new Promise((done) => server.close(done));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: PausingProxy = {
    before: () => undefined,
    async kubeconfigFor(token) {
      const path = join(dir, `${++kubeconfigs}.kubeconfig`);
      await writeFile(path, kubeconfig(url, token));
      return path;
    },
    endWatches() {
      for (const watch of watches) watch.destroy();
    },
  };
  return proxy;
}

function kubeconfig(server: string, token: string): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "proxy",
    clusters: [{ name: "proxy", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "proxy", user: { token } }],
    contexts: [{ name: "proxy", context: { cluster: "proxy", user: "proxy" } }],
  });
}
