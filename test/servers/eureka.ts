import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type EurekaInstance, registration } from "../adapters/eureka/registration.ts";
import { ensureServers, noServers } from "./build.ts";
import { type Child, startChild } from "./child.ts";
import { freePort } from "./free-port.ts";

/** What {@link startEureka} needs. */
export const eurekaServers = ["eureka"] as const;

/** A Eureka server of Spring Cloud, alone, whose answers are one second old at most. */
export interface Eureka {
  /** `http://127.0.0.1:<port>/eureka` */
  readonly address: string;
  /** The id under which it is registered. */
  register(instance: EurekaInstance): Promise<string>;
  deregister(app: string, id: string): Promise<void>;
  /** As the instance would. */
  renew(app: string, id: string): Promise<void>;
  /** As an operator would; `undefined` takes that back. */
  override(app: string, id: string, status: string | undefined): Promise<void>;
  /** End it as a crash does. */
  kill(): Promise<void>;
  /** Start it again; it knows nothing of before. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Busy machines take a minute to start a server of Java. */
const START_MS = 180_000;

/**
 * Start a server in a folder of its own. Let `stop` end it.
 *
 * @throws When it is not available, or does not start.
 */
export async function startEureka(options: readonly string[] = []): Promise<Eureka> {
  const paths = await ensureServers(eurekaServers);
  if (paths === undefined) throw new Error(`Cannot start eureka: ${noServers}`);
  const dir = await mkdtemp(join(tmpdir(), "x2istio-eureka-"));
  const port = await freePort();
  const address = `http://127.0.0.1:${port}/eureka`;
  let child: Child | undefined;

  async function start(): Promise<void> {
    const flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx192m"];
    const classes = ["-cp", `${paths?.eureka}/lib/*:${paths?.eureka}`, "Server"];
    const own = [`--spring.config.location=file:${paths?.eureka}/application.properties`, `--server.port=${port}`];
    child = await startChild("java", [...flags, ...classes, ...own, ...options], join(dir, "log"));
    for (const endMs = performance.now() + START_MS; ; await sleep(100)) {
      const answer = await fetch(`${address}/apps`).catch(() => undefined);
      if (answer?.ok) return;
      if (performance.now() > endMs || !child.isRunning()) {
        const log = child.logTail();
        await child.stop();
        throw new Error(`Cannot start eureka:\n${log}`);
      }
    }
  }

  async function ask(method: string, path: string, body?: object): Promise<void> {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${address}${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    await answer.arrayBuffer();
  }

  await start();
  return {
    address,
    async register(instance) {
      const body = registration(instance);
      await ask("POST", `/apps/${instance.app}`, { instance: body });
      return body.instanceId;
    },
    deregister: (app, id) => ask("DELETE", `/apps/${app}/${id}`),
    renew: (app, id) => ask("PUT", `/apps/${app}/${id}`),
    override: (app, id, status) =>
      status === undefined
        ? ask("DELETE", `/apps/${app}/${id}/status?value=UP`)
        : ask("PUT", `/apps/${app}/${id}/status?value=${status}`),
    kill: async () => child?.stop(0),
    start,
    async stop() {
      await child?.stop();
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
