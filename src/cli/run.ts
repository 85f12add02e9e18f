import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { configChanges } from "../config/watch.ts";
import { type Config, loadConfig } from "../config.ts";
import { type Controller, startController } from "../controller/controller.ts";
import type { Leadership } from "../controller/leadership.ts";
import { backOff } from "../controller/loop.ts";
import { inTurns } from "../controller/turns.ts";
import { type DnsServer, dnsServer, workersByDefault } from "../dns/server.ts";
import { ConfigError } from "../errors.ts";
import { type HttpServer, httpServer } from "../http/server.ts";
import type { Adapter } from "../model/adapter.ts";
import type { NameTable } from "../model/name-table.ts";
import { type NameTables, nameTables } from "../plan/name-table.ts";
import { closeAdapters, createAdapters } from "./adapters.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { planJson } from "./plan.ts";
import { servicesJson } from "./status.ts";
import { type OpenTarget, openTarget } from "./target.ts";

/** How long a new VIP may take to reach the mesh. A folder has no mesh. */
const SETTLE_MS = { kubernetes: 1000, directory: 0 };

const BURST_MS = 20;
/** While names keep coming, tables are made in a tenth of the time at most. */
const REST = 9;

/** What runs for one configuration. */
interface Generation {
  readonly config: Config;
  readonly adapters: readonly Adapter[];
  readonly opened: OpenTarget;
  readonly stop: AbortController;
  readonly leadership: Leadership;
  controller: Controller | undefined;
  readonly tables: NameTables;
  /** Called whenever `table` may be another one. */
  readonly onTable: () => void;
  table: NameTable | undefined;
  /** The version of the target that `table` was made from. */
  tableVersion: number;
  /** Nothing of ours stood at the start, and what the first pass wrote is not in the table yet. */
  isFresh: boolean;
  done: Promise<void>;
}

/**
 * Keep the target in step with the registries and answer DNS and HTTP until the process is told to stop.
 *
 * Only a configuration that cannot be used or an address that cannot be bound ends it with an error; everything else is
 * tried again. A configuration that is broken later keeps the old one running.
 */
export async function runCommand(context: CliContext): Promise<ExitCode> {
  const { log, metrics, signal } = context;
  let config = await loadConfig(context.configFile, context.configContext);
  const running = runtime(context);
  try {
    await running.use(config);
    sayHello(config, context);
    if (config.target.kind === "directory")
      for (const line of whereToLook(config, config.target.path)) context.out.line(line);
    for await (const next of configChanges(config, context.configContext, signal)) {
      try {
        if (next instanceof ConfigError) throw next;
        await running.use(next);
        config = next;
        metrics.configReloads.inc({ result: "ok" });
        log.info({ file: config.file }, "the new configuration is in use");
      } catch (error) {
        if (signal.aborted) break;
        metrics.configReloads.inc({ result: "failed" });
        log.error({ error }, "the new configuration cannot be used; the old one goes on");
        await running.use(config);
      }
    }
  } finally {
    await running.stop();
  }
  return 0;
}

interface Runtime {
  /**
   * Run by this configuration from now on. Servers whose section is the same are left alone.
   *
   * @throws When an address cannot be bound or the target is another process's.
   */
  use(config: Config): Promise<void>;
  stop(): Promise<void>;
}

function runtime(context: CliContext): Runtime {
  const { metrics, signal } = context;
  let current: Generation | undefined;
  let dns: { readonly config: Config["dns"]; readonly server: DnsServer } | undefined;
  let http: { readonly config: Config["http"]; readonly server: HttpServer } | undefined;
  /** Answers go on from the old table until a new generation has its own. */
  let lastTable: NameTable | undefined;
  const table = () => current?.table ?? lastTable;
  const source = {
    ready: () => {
      const state = readiness(current, signal);
      if (!state.ready || dns?.server.isCurrent() !== false) return state;
      return { ready: false, reasons: ["the DNS server has not taken over the names yet"] };
    },
    services: () => servicesJson(current?.controller?.latest()),
    plan: () => {
      const latest = current?.controller?.latest();
      return latest === undefined
        ? { registries: [], changes: [], holds: [] }
        : { ...planJson(latest), leader: current?.leadership.holder() ?? null };
    },
    metrics: () => metrics.registry.metrics(),
  };

  async function useDns(config: Config): Promise<void> {
    if (dns !== undefined && isDeepStrictEqual(dns.config, config.dns)) return;
    await dns?.server.stop();
    dns = undefined;
    dns = { config: config.dns, server: await startDns(config, table, context) };
  }

  async function useHttp({ http: wanted }: Config): Promise<void> {
    if (http !== undefined && isDeepStrictEqual(http.config, wanted)) return;
    await http?.server.stop();
    http = undefined;
    const onError = (error: unknown) => context.log.error({ error }, "an HTTP answer could not be made");
    http = { config: wanted, server: await httpServer({ listen: wanted.listen, source, onError }) };
  }

  return {
    async use(config) {
      await useDns(config);
      await useHttp(config);
      if (current?.config === config) return;
      lastTable = table();
      await stopGeneration(current, context);
      current = undefined;
      current = await startGeneration(config, context, () => dns?.server.refresh());
    },
    async stop() {
      // Ports first: whoever asks next is to go elsewhere at once.
      await Promise.all([dns?.server.stop(), http?.server.stop()]);
      await stopGeneration(current, context);
    },
  };
}

async function startGeneration(config: Config, context: CliContext, onTable: () => void): Promise<Generation> {
  context.metrics.setRegistries(config.registries.map(({ name }) => name));
  const opened = await openTarget(config, context);
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  let adapters: readonly Adapter[] = [];
  try {
    adapters = await createAdapters(config, context);
    const leadership = await opened.elect(signal);
    const generation: Generation = {
      config,
      adapters,
      opened,
      stop,
      leadership,
      controller: undefined,
      tables: nameTables(),
      onTable,
      table: undefined,
      tableVersion: -1,
      isFresh: false,
      done: Promise.resolve(),
    };
    generation.done = live(generation, signal, context);
    return generation;
  } catch (error) {
    stop.abort();
    await closeAdapters(adapters, context);
    await opened.close();
    throw error;
  }
}

async function stopGeneration(generation: Generation | undefined, context: CliContext): Promise<void> {
  if (generation === undefined) return;
  generation.stop.abort();
  await generation.done;
  await closeAdapters(generation.adapters, context);
  await generation.opened.close();
}

/** Read the target's first state, then keep it in step and its names in the table. */
async function live(generation: Generation, signal: AbortSignal, context: CliContext): Promise<void> {
  const { config, adapters, opened, leadership } = generation;
  const { target } = opened;
  const { log, metrics } = context;
  if (!(await startTarget(opened, signal, context))) return;
  generation.isFresh = target.standing().objects.size === 0;
  await renewTable(generation, signal).catch(() => undefined);
  if (signal.aborted) return;
  generation.controller = startController({ config, adapters, target, leadership, signal, log, metrics });
  while (!signal.aborted) {
    await target.waitForChange(generation.tableVersion, signal).catch(() => undefined);
    if (signal.aborted) break;
    const startedMs = performance.now();
    try {
      await renewTable(generation, signal);
    } catch (error) {
      if (signal.aborted) break;
      // Answers go on from the table before: an object that nobody foresaw must not take down DNS.
      log.error({ error }, "the names cannot be read from the target; the last ones are answered");
    }
    // What comes in a burst makes one table.
    const restMs = Math.max(BURST_MS, REST * (performance.now() - startedMs));
    await delay(restMs, undefined, { signal }).catch(() => undefined);
  }
  await generation.controller.done;
}

async function renewTable(generation: Generation, signal: AbortSignal): Promise<void> {
  const { target } = generation.opened;
  const version = target.version();
  const options = { settleMs: SETTLE_MS[target.kind], nowMs: Date.now() };
  const changed = target.changesSince(generation.tableVersion);
  try {
    generation.table = await inTurns(generation.tables.renew(target.standing(), changed, options), signal);
    generation.onTable();
  } finally {
    generation.tableVersion = version;
  }
}

/** Try until it can be read; false when told to stop. */
async function startTarget({ target }: OpenTarget, signal: AbortSignal, { log }: CliContext): Promise<boolean> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      await target.start({ watch: true, signal });
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      log.error({ error }, "the target cannot be read; it is tried again");
      await backOff(failures, signal).catch(() => undefined);
    }
  }
  return false;
}

function readiness(generation: Generation | undefined, signal: AbortSignal): { ready: boolean; reasons: string[] } {
  if (signal.aborted) return { ready: false, reasons: ["the process is stopping"] };
  if (generation?.table === undefined) return { ready: false, reasons: ["the target has not been read yet"] };
  const { table, tableVersion, opened, controller, isFresh } = generation;
  if (isFresh && controller?.hasPassed() !== true) {
    return { ready: false, reasons: ["nothing stood at the start and the first pass has not ended"] };
  }
  const rows = [...table.names.values()];
  const isUnsettled = rows.length > 0 && rows.every(({ settledAtMs }) => settledAtMs > Date.now());
  const isBehind = isFresh && tableVersion !== opened.target.version();
  if (isUnsettled || isBehind) return { ready: false, reasons: ["the names have not settled yet"] };
  generation.isFresh = false;
  return { ready: true, reasons: [] };
}

async function startDns(
  { dns }: Config,
  table: () => NameTable | undefined,
  { log, metrics }: CliContext,
): Promise<DnsServer> {
  const server = dnsServer({
    ...dns,
    workers: dns.workers ?? workersByDefault(),
    table,
    log,
    hooks: {
      onAnswer: ({ transport, rcode, source }, count) => metrics.dnsAnswers.inc({ transport, rcode, source }, count),
    },
  });
  await server.start();
  return server;
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
      http: `http://${place(http.listen)}`,
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
    `  status   http://${http.listen.address}:${http.listen.port}/api/services`,
    "  stop     Ctrl-C",
  ];
}
