import { setTimeout as delay } from "node:timers/promises";
import { type Config, loadConfig } from "../config.ts";
import type { DnsServer } from "../dns/server.ts";
import { publishedNames } from "../http/names.ts";
import { type HttpServer, httpServer } from "../http/server.ts";
import type { NameTable } from "../model/name-table.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { liveNames, startTarget } from "./live-names.ts";
import { remoteNames } from "./remote-names.ts";
import { serveDns } from "./serve-dns.ts";
import { openTarget } from "./target.ts";
import { servicesOfTable } from "./usage-json.ts";
import { usageSource } from "./usage-source.ts";

/** Where names come from. */
interface Source {
  table(): NameTable | undefined;
  /** From now on rows have their endpoints. */
  wantEndpoints(): void;
  /** Keep the table in step until told to stop. */
  follow(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/**
 * Answer DNS and HTTP until told to stop, and write nothing: from the target, or from another x2istio.
 *
 * @throws When the configuration cannot be used, or an address cannot be bound.
 */
export async function dnsCommand(context: CliContext, { from }: { readonly from?: string }): Promise<ExitCode> {
  const { log, signal } = context;
  const config = await loadConfig(context.configFile, context.configContext);
  let server: DnsServer | undefined;
  let http: HttpServer | undefined;
  const source = await openSource(config, from, context, () => {
    server?.refresh();
    names.refresh();
  });
  const names = publishedNames(source.table, source.wantEndpoints);
  const usage = usageSource({
    table: source.table,
    services: () => servicesOfTable(source.table()),
    demands: () => undefined,
    ...{ metrics: context.metrics, signal },
  });
  try {
    server = await serveDns(config.dns, source.table, context, usage);
    http = await httpServer({
      listen: config.http.listen,
      source: {
        ready: () => readiness(source.table(), server, signal),
        services: () => ({ services: [] }),
        plan: () => ({ registries: [], changes: [], holds: [] }),
        usage: () => usage.json(),
        metrics: () => context.metrics.registry.metrics(),
        names,
      },
      onError: (error) => log.error({ error }, "an HTTP answer could not be made"),
    });
    log.info({ from: from ?? config.target.kind, dns: config.dns.listen, http: config.http.listen }, "answering");
    await source.follow(signal);
    while (!signal.aborted) await delay(1000, undefined, { signal }).catch(() => undefined);
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
    const onCurrent = () => metrics.dnsNamesTime.setToCurrentTime();
    const endpoints = config.dns.views.some(({ answer }) => answer === "endpoints");
    return { ...remoteNames(from, { log, endpoints, onTable, onCurrent }), close: async () => {} };
  }
  const { target, close } = await openTarget(config, context);
  const names = liveNames(target, config, onTable);
  return {
    table: names.table,
    wantEndpoints: names.wantEndpoints,
    async follow(signal) {
      if (!(await startTarget(target, signal, log))) return;
      await names.renew(signal).catch((error) => log.error({ error }, "the names cannot be read from the target"));
      await names.follow(signal, log);
    },
    close,
  };
}

function readiness(table: NameTable | undefined, server: DnsServer | undefined, signal: AbortSignal) {
  if (signal.aborted) return { ready: false, reasons: ["the process is stopping"] };
  if (table === undefined) return { ready: false, reasons: ["the names are not known yet"] };
  if (server?.isCurrent() !== true)
    return { ready: false, reasons: ["the DNS server has not taken over the names yet"] };
  return { ready: true, reasons: [] };
}
