import type { TestContext } from "node:test";
import { nacos } from "../../../adapters/nacos/nacos.ts";
import { nacosOptions } from "../../../adapters/nacos/options.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { createSecrets } from "../../../src/secrets.ts";
import type { Registry } from "../reading.ts";
import type { Stub } from "./stub.ts";

export { addresses, failures, type Registry, read, readUntil, services } from "../reading.ts";

/** An adapter named `prod`, which its caller closes. */
export function newRegistry(options: object, nowMs?: () => number, metrics = createMetrics()): Registry {
  const context = {
    ...{ registry: "prod", dir: "/", metrics, secrets: createSecrets() },
    log: createLog({ level: "silent", pretty: false }),
  };
  return nacos(nacosOptions.parse({ timeout: "5m", interval: "500ms", ...options }), context, nowMs) as Registry;
}

/** An adapter of these stubs, which are one cluster, that is closed with the test. */
export function registryAt(
  t: TestContext,
  { address, grpcPortOffset }: Pick<Stub, "address" | "grpcPortOffset">,
  options: object = {},
  nowMs?: () => number,
  metrics = createMetrics(),
): Registry {
  const registry = newRegistry({ address, grpcPortOffset, groups: ["DEFAULT_GROUP"], ...options }, nowMs, metrics);
  t.after(() => registry.close());
  return registry;
}
