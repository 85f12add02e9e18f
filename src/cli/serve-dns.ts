import { readFile } from "node:fs/promises";
import type { Config, UpstreamConfig } from "../config.ts";
import type { Upstream } from "../dns/answer.ts";
import type { DnsHooks } from "../dns/events.ts";
import { type DnsServer, dnsServer, workersByDefault } from "../dns/server.ts";
import type { NameTable } from "../model/name-table.ts";
import type { CliContext } from "./context.ts";

/**
 * Start the DNS server of a configuration, which answers from what `table` gives.
 *
 * @throws When an address cannot be bound, or a file with certificates cannot be read.
 */
export async function serveDns(
  { zones, forward, workers, cacheMiB, ...dns }: Config["dns"],
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
      onQuery: (query) => log.info({ ...query }, "query"),
      onAnswer: (event, count) => metrics.dnsAnswers.inc({ ...event }, count),
      onQuestions: (questions) => asked.onQuestions?.(questions),
      onWanted: (wanted) => asked.onWanted?.(wanted),
      onHeld: (result, count) => metrics.dnsHeld.inc({ result }, count),
      onDuration: (path, seconds) => metrics.dnsDuration.observe({ path }, seconds),
    },
  });
  await server.start();
  return server;
}

async function upstreamOf({ tls, ...where }: UpstreamConfig): Promise<Upstream> {
  if (tls?.ca === undefined) return { ...where, ...(tls === undefined ? {} : { tls: { name: tls.name } }) };
  return { ...where, tls: { name: tls.name, ca: await readFile(tls.ca, "utf8") } };
}
