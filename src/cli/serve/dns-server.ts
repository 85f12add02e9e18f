import { readFile } from "node:fs/promises";
import type { Config, UpstreamConfig } from "../../config/config.ts";
import type { Upstream } from "../../dns/forward/upstream.ts";
import type { DnsHooks } from "../../dns/observe/hooks.ts";
import { dnsMetrics } from "../../dns/observe/metrics.ts";
import type { DnsServer } from "../../dns/serve/options.ts";
import { dnsServer, workersByDefault } from "../../dns/serve/server.ts";
import type { NameTable } from "../../model/name-table.ts";
import type { CliContext } from "../context.ts";

/**
 * Start the DNS server of a configuration, which answers from what `table` gives.
 *
 * @throws When an address cannot be bound, or a file with certificates cannot be read.
 */
export async function serveDns(
  { zones, forward, workers, cacheMiB, names: _names, ...dns }: Config["dns"],
  table: () => NameTable | undefined,
  { log, metrics }: CliContext,
  asked: Pick<DnsHooks, "onQuestions" | "onWanted">,
): Promise<DnsServer> {
  const server = dnsServer({
    ...dns,
    forward: await Promise.all(forward.map(upstreamOf)),
    zones: await Promise.all(
      zones.map(async (zone) => ({ name: zone.name, forward: await Promise.all(zone.forward.map(upstreamOf)) })),
    ),
    workers: workers ?? workersByDefault(),
    cacheBytes: cacheMiB * 2 ** 20,
    table,
    log,
    hooks: {
      ...metrics.once(dnsMetrics),
      onQuery: (query) => log.info({ ...query }, "query"),
      onQuestions: (questions) => asked.onQuestions?.(questions),
      onWanted: (wanted) => asked.onWanted?.(wanted),
    },
  });
  await server.start();
  return server;
}

async function upstreamOf({ tls, ...where }: UpstreamConfig): Promise<Upstream> {
  if (tls?.ca === undefined) return { ...where, ...(tls === undefined ? {} : { tls: { name: tls.name } }) };
  return { ...where, tls: { name: tls.name, ca: await readFile(tls.ca, "utf8") } };
}
