import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { eureka } from "../../../adapters/eureka/eureka.ts";
import { eurekaOptions } from "../../../adapters/eureka/options.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import type { Registry } from "../reading.ts";
import { type EurekaInstance, registration } from "./registration.ts";

export { addresses, failures, type Registry, read, readUntil, services } from "../reading.ts";

/** An adapter named `spring`, which its caller closes. */
export function newRegistry(address: string | readonly string[], options: object = {}, nowMs?: () => number): Registry {
  const parsed = eurekaOptions.parse({ address, interval: "500ms", timeout: "5m", ...options });
  const context = {
    registry: "spring",
    dir: "/",
    log: createLog({ level: "silent", pretty: false }),
    metrics: createMetrics(),
    secrets: createSecrets(),
  };
  return eureka(parsed, context, nowMs) as Registry;
}

/** An adapter that is closed with the test. */
export function registryAt(
  t: TestContext,
  address: string | readonly string[],
  options: object = {},
  nowMs?: () => number,
): Registry {
  const registry = newRegistry(address, options, nowMs);
  t.after(() => registry.close());
  return registry;
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that says what the test wants, for faults and shapes that a real one cannot be made to show. */
export interface Stub {
  readonly address: string;
  instances: EurekaInstance[];
  /** Answers of its own, by path. */
  special: Record<string, Handler>;
  readonly asked: { readonly path: string; readonly headers: IncomingMessage["headers"] }[];
  readonly close: () => Promise<void>;
}

/** Start one; its caller closes it. */
export async function startStub(port = 0): Promise<Stub> {
  const stub = {
    instances: [] as EurekaInstance[],
    special: {} as Record<string, Handler>,
    asked: [] as Stub["asked"],
  };
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    stub.asked.push({ path, headers: request.headers });
    const own = stub.special[path];
    if (own !== undefined) return own(request, response);
    if (path !== "/eureka/apps" && path !== "/eureka/apps/delta") return void response.writeHead(404).end();
    const body = gzipSync(JSON.stringify(appsOf(stub.instances)));
    response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(body);
  });
  await once(server.listen(port, "127.0.0.1"), "listening");
  return Object.assign(stub, {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/eureka`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  });
}

/** A stub that goes with the test. */
export async function stubFor(t: TestContext): Promise<Stub> {
  const stub = await startStub();
  t.after(() => stub.close().catch(() => undefined)); // some tests have closed it
  return stub;
}

/** A list of applications as a server writes it. */
export function appsOf(instances: readonly EurekaInstance[]): object {
  const apps = Map.groupBy(instances, ({ app }) => app.toUpperCase());
  const application = [...apps].map(([name, ones]) => ({ name, instance: ones.map(registration) }));
  return { applications: { versions__delta: "1", apps__hashcode: `UP_${instances.length}_`, application } };
}
