import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import { configChanges } from "../config/watch.ts";
import { ConfigError } from "../errors.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { declareMetrics, serviceMetrics } from "./serve/metrics.ts";
import { createRuntime } from "./serve/runtime.ts";
import { placed } from "./setup/placed.ts";

/**
 * Keep the target in step with the registries and answer DNS and HTTP until the process is told to stop.
 *
 * Only a configuration that cannot be used or an address that cannot be bound ends it with an error; everything else is
 * tried again. A configuration that is broken later keeps the old one running.
 */
export async function runCommand(context: CliContext): Promise<ExitCode> {
  const { log, metrics, signal } = context;
  declareMetrics(metrics);
  const { configReloads } = metrics.once(serviceMetrics);
  let config = await loadConfig(context.configFile, context.configContext);
  const running = createRuntime(context);
  try {
    await running.use(config).catch(async (error: unknown) => {
      throw await placed(error, config.file, context.configContext);
    });
    sayHello(config, context);
    if (config.target.kind === "directory")
      for (const line of whereToLook(config, config.target.path)) context.out.line(line);
    for await (const next of configChanges(config, context.configContext, signal)) {
      try {
        if (next instanceof ConfigError) throw next;
        await running.use(next);
        config = next;
        await running.refuse(undefined);
        configReloads.inc({ result: "ok" });
        log.info({ file: config.file }, "the new configuration is in use");
      } catch (error) {
        if (signal.aborted) break;
        configReloads.inc({ result: "failed" });
        log.error({ error }, "the new configuration cannot be used; the old one stays in use");
        await running.use(config);
        await running.refuse(error);
      }
    }
  } finally {
    await running.stop();
  }
  return 0;
}

function sayHello({ dns, http, target, registries }: Config, { log }: CliContext): void {
  const place = ({ address, port }: { address: string; port: number }) =>
    address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  const objects = target.kind === "directory" ? target.path : `cluster, namespace ${target.namespace}`;
  log.info(
    {
      registries: registries.map(({ name }) => name).join(", "),
      objects,
      dns: dns.listen.map(place).join(", "),
      http: `${http.tls === undefined ? "http" : "https"}://${place(http.listen)}`,
    },
    "running",
  );
}

/** For someone who starts it for the first time, without a cluster. */
function whereToLook({ dns, http }: Config, path: string): readonly string[] {
  const [listen] = dns.listen;
  const dig = listen === undefined ? [] : [`  names    dig @${listen.address} -p ${listen.port} NAME`];
  return [
    "X2Istio is running. Where to look:",
    `  objects  ${path}`,
    ...dig,
    `  status   ${http.tls === undefined ? "http" : "https"}://${http.listen.address}:${http.listen.port}/api/services`,
    "  stop     Ctrl-C",
  ];
}
