import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { consul } from "../../../adapters/consul/consul.ts";
import { consulOptions } from "../../../adapters/consul/options.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import { ensureServers, noServers } from "../../servers/build.ts";
import { type Consul, type ConsulOptions, consulServers, startConsul } from "../../servers/consul.ts";
import type { Registry } from "../reading.ts";

export { addresses, failures, type Registry, read, readUntil, services } from "../reading.ts";

/** Why tests of a real Consul cannot run; false when they can. */
export const skip = (await ensureServers(consulServers)) === undefined && noServers;

/** A Consul that goes with the test. */
export async function started(t: TestContext, options?: ConsulOptions): Promise<Consul> {
  const server = await startConsul(options);
  t.after(() => server.stop());
  return server;
}

/** A folder of its own that goes with the test. */
export async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-consul-test-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** An adapter named `dc1` that is closed with the test. */
export function registryAt(
  t: TestContext,
  address: string,
  options: object = {},
  {
    dir = "/",
    metrics = createMetrics(),
  }: { readonly dir?: string; readonly metrics?: ReturnType<typeof createMetrics> } = {},
): Registry {
  const log = createLog({ level: "silent", pretty: false });
  const adapter = consul(consulOptions.parse({ address, ...options }), {
    registry: "dc1",
    dir,
    log,
    metrics,
    secrets: createSecrets(),
  });
  const { waitForChange, close } = adapter;
  if (waitForChange === undefined || close === undefined) throw new Error("A Consul can be waited for and closed");
  t.after(close);
  return { ...adapter, waitForChange, close };
}
