import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import { loadConfig } from "../config/load.ts";
import type { DnsServer } from "../dns/serve/options.ts";
import { ConfigError } from "../errors.ts";
import { publishedNames } from "../http/names.ts";
import { type HttpServer, httpServer } from "../http/server.ts";
import type { NameTable } from "../model/name-table.ts";
import { servicesOfTable } from "../usage/json.ts";
import { usageSource } from "../usage/source.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { serveDns } from "./serve/dns-server.ts";
import { httpOptions, type Opened } from "./serve/http-options.ts";
import { liveNames } from "./serve/live-names.ts";
import { declareMetrics, serviceMetrics } from "./serve/metrics.ts";
import { remoteNames } from "./serve/remote-names.ts";
import { startTarget } from "./serve/start-target.ts";
import { placed } from "./setup/placed.ts";
import { openTarget } from "./setup/target.ts";

/** Where names come from. */
interface Source {
  table(): NameTable | undefined;
  /** From now on rows have their endpoints. */
  wantEndpoints(): void;
  /** Keep the table in step until told to stop. */
  follow(signal: AbortSignal): Promise<void>;
  /** The target, if names come from it. */
  readonly opened: Opened;
  close(): Promise<void>;
}

/**
 * Answer DNS and HTTP until told to stop, and write nothing: from the target, or from another x2istio.
 *
 * @throws When the configuration cannot be used, or an address cannot be bound.
 */
export async function dnsCommand(context: CliContext, { from }: { readonly from?: string }): Promise<ExitCode> {
  const { log, metrics, signal } = context;
  declareMetrics(metrics);
  const config = await loadConfig(context.configFile, context.configContext);
  let server: DnsServer | undefined;
  let http: HttpServer | undefined;
  const source = await openSource(config, from, context, () => {
    server?.refresh();
    names.refresh();
  });
  const names = publishedNames({
    ...{ table: source.table, wantEndpoints: source.wantEndpoints },
    secretFile: () => config.dns.names.secretFile,
  });
  const usage = usageSource({
    table: source.table,
    services: () => servicesOfTable(source.table()),
    demands: () => undefined,
    ...{ metrics, signal },
  });
  try {
    server = await serveDns(config.dns, source.table, context, usage);
    http = await httpServer({
      ...(await httpOptions(config.http, source.opened, context)),
      source: {
        ready: () => readiness(source.table(), server, signal),
        services: () => ({ services: [] }),
        plan: () => ({ registries: [], changes: [], holds: [] }),
        usage: () => usage.json(),
        metrics: () => metrics.registry.metrics(),
        names,
      },
    });
    log.info({ from: from ?? config.target.kind, dns: config.dns.listen, http: config.http.listen }, "answering");
    await source.follow(signal);
    while (!signal.aborted) await delay(1000, undefined, { signal }).catch(() => undefined);
  } catch (error) {
    throw await placed(error, config.file, context.configContext);
  } finally {
    await Promise.all([server?.stop(), http?.stop()]);
    await source.close();
  }
  return 0;
}

async function openSource(
  config: Config,
  from: string | undefined,
  context: CliContext,
  onTable: () => void,
): Promise<Source> {
  const { log, metrics } = context;
  if (from !== undefined) {
    const { dnsNamesTime, dnsNamesLeftOut } = metrics.once(serviceMetrics);
    const onCurrent = (leftOut: number) => {
      dnsNamesTime.setToCurrentTime();
      dnsNamesLeftOut.set(leftOut);
    };
    const endpoints = config.dns.views.some(({ answer }) => answer === "endpoints");
    if (config.http.authorization !== undefined)
      throw new ConfigError(
        "Cannot use http.authorization with --from: tokens are verified by the cluster of a target",
      );
    const remote = remoteNames(from, { log, dns: config.dns, endpoints, onTable, onCurrent });
    return { ...remote, opened: () => undefined, close: async () => {} };
  }
  const opened = await openTarget(config, context);
  const { target, close } = opened;
  const names = liveNames(target, config, onTable);
  return {
    table: names.table,
    wantEndpoints: names.wantEndpoints,
    async follow(signal) {
      if (!(await startTarget(target, signal, log))) return;
      await names.renew(signal).catch((error) => log.error({ error }, "the names cannot be read from the target"));
      await names.follow(signal, log);
    },
    opened: () => opened,
    close,
  };
}

function readiness(table: NameTable | undefined, server: DnsServer | undefined, signal: AbortSignal) {
  if (signal.aborted) return { ready: false, reasons: ["the process is stopping"] };
  if (table === undefined) return { ready: false, reasons: ["the names are not known yet"] };
  if (server?.isCurrent() !== true) return { ready: false, reasons: ["the DNS server has not loaded the names yet"] };
  return { ready: true, reasons: [] };
}
