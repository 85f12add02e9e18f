import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import { request as forwardSecurely } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { Kube } from "../servers/kube.ts";

/** What to answer instead of forwarding: a status with a body, or nothing at all. */
export type Fault =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: object }
  | "silence";

/** A proxy in front of the API server, where requests can go wrong. */
export interface FaultProxy {
  readonly kubeconfigPath: string;
  /** "GET /path?query" of all requests, in order. */
  readonly seen: string[];
  /** Asked for each request; `undefined` forwards it. */
  fault: (request: string) => Fault | undefined;
  /** How many watches are under way. */
  watching(): number;
  /** End the watches under way, or stop passing on what they say, as a dead connection does. */
  breakWatches(how: "end" | "silence"): void;
  stop(): Promise<void>;
}

/** Start a proxy with the administrator's rights. */
export async function faultProxy(kube: Kube): Promise<FaultProxy> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-proxy-"));
  const ca = await readFile(kube.caFile);
  const watches = new Set<{ readonly from: IncomingMessage; readonly to: ServerResponse }>();
  const server = createServer((incoming, response) => {
    const line = `${incoming.method} ${incoming.url}`;
    proxy.seen.push(line);
    const fault = proxy.fault(line);
    if (fault === "silence") return;
    if (fault !== undefined) {
      response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
      response.end(JSON.stringify(fault.body ?? { kind: "Status", code: fault.status }));
      return;
    }
    const send = kube.url.startsWith("https:") ? forwardSecurely : forward;
    const outgoing = send(
      kube.url + incoming.url,
      { method: incoming.method, headers: incoming.headers, ca },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        response.flushHeaders();
        answer.pipe(response);
        answer.on("error", () => response.destroy()); // the server is gone
        if (!line.includes("watch=1")) return;
        const watch = { from: answer, to: response };
        watches.add(watch);
        answer.once("close", () => watches.delete(watch));
      },
    );
    outgoing.on("error", () => response.destroy());
    response.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const kubeconfigPath = join(dir, "kubeconfig");
  const { port } = server.address() as AddressInfo;
  await writeFile(kubeconfigPath, kubeconfig(`http://127.0.0.1:${port}`, kube.adminToken));

  const proxy: FaultProxy = {
    kubeconfigPath,
    seen: [],
    fault: () => undefined,
    watching: () => watches.size,
    breakWatches(how) {
      for (const watch of watches) {
        const { from, to } = watch;
        from.unpipe(to);
        if (how === "end") to.end();
        watches.delete(watch);
      }
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(dir, { recursive: true });
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
