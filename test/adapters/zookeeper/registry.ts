import type { TestContext } from "node:test";
import { zooKeeperOptions } from "../../../adapters/zookeeper/options.ts";
import { zookeeper } from "../../../adapters/zookeeper/zookeeper.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics, type Metrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import type { Registry } from "../reading.ts";

export { addresses, failures, type Registry, read, readUntil, services } from "../reading.ts";

/** An adapter named `zk`, which its caller closes. */
export function newRegistry(address: string, options: object = {}, metrics: Metrics = createMetrics()): Registry {
  const parsed = zooKeeperOptions.parse({ address, timeout: "5s", ...options });
  const context = {
    ...{ registry: "zk", dir: "/", log: createLog({ level: "silent", pretty: false }) },
    ...{ metrics, secrets: createSecrets() },
  };
  return zookeeper(parsed, context) as Registry;
}

/** An adapter that is closed with the test. */
export function registryAt(t: TestContext, address: string, options: object = {}, metrics?: Metrics): Registry {
  const registry = newRegistry(address, options, metrics);
  t.after(() => registry.close());
  return registry;
}
