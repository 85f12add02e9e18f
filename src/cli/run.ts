import { isDeepStrictEqual } from "node:util";
import { configChanges } from "../config/watch.ts";
import { type Config, loadConfig } from "../config.ts";
import { type Controller, startController } from "../controller/controller.ts";
import type { Demand } from "../controller/demand.ts";
import { relayDemand } from "../controller/demand-relay.ts";
import { demandTtls } from "../controller/known.ts";
import type { Leadership } from "../controller/leadership.ts";
import type { DnsHooks } from "../dns/events.ts";
import type { DnsServer } from "../dns/server.ts";
import { ConfigError } from "../errors.ts";
import { publishedNames } from "../http/names.ts";
import { type HttpServer, httpServer } from "../http/server.ts";
import type { Adapter } from "../model/adapter.ts";
import type { NameTable } from "../model/name-table.ts";
import { closeAdapters, createAdapters } from "./adapters.ts";
import type { CliContext, ExitCode } from "./context.ts";
import { demandSource } from "./demand-source.ts";
import { type LiveNames, liveNames, startTarget } from "./live-names.ts";
import { planJson } from "./plan.ts";
import { serveDns } from "./serve-dns.ts";
import { servicesJson } from "./status.ts";
import { type OpenTarget, openTarget } from "./target.ts";
import { namedServices } from "./usage-json.ts";
import { usageSource } from "./usage-source.ts";

/** What runs for one configuration. */
interface Generation {
  readonly config: Config;
  readonly adapters: readonly Adapter[];
  readonly opened: OpenTarget;
  readonly stop: AbortController;
  readonly leadership: Leadership;
  controller: Controller | undefined;
  readonly names: LiveNames;
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
  const table = () => current?.names.table() ?? lastTable;
  const names = publishedNames(table, () => current?.names.wantEndpoints());
  const asked = demandSource({ running: () => current, table, context });
  const usage = usageSource({
    table,
    services: () => namedServices(current?.controller?.latest()),
    demands: () => asked.demand.demands(),
    metrics,
    signal,
  });
  const questions: Pick<DnsHooks, "onQuestions" | "onWanted"> = {
    onQuestions(batch) {
      usage.onQuestions(batch);
      asked.onQuestions(batch);
    },
    onWanted: asked.onWanted,
  };
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
    usage: () => usage.json(),
    async metrics() {
      await usage.refreshMetrics();
      return metrics.registry.metrics();
    },
    release: (registry: string) => releaseBrake(current, registry),
    names,
  };

  async function useDns(config: Config): Promise<void> {
    if (dns !== undefined && isDeepStrictEqual(dns.config, config.dns)) return;
    await dns?.server.stop();
    dns = undefined;
    dns = { config: config.dns, server: await serveDns(config.dns, table, context, questions) };
  }

  async function useHttp({ http: wanted }: Config): Promise<void> {
    if (http !== undefined && isDeepStrictEqual(http.config, wanted)) return;
    await http?.server.stop();
    http = undefined;
    const onError = (error: unknown) => context.log.error({ error }, "an HTTP answer could not be made");
    const reports = asked.reports(wanted);
    http = {
      config: wanted,
      server: await httpServer({ listen: wanted.listen, source: { ...source, reports }, onError }),
    };
  }

  return {
    async use(config) {
      await useDns(config);
      await useHttp(config);
      if (current?.config === config) return;
      lastTable = table();
      await stopGeneration(current, context);
      current = undefined;
      current = await startGeneration(config, context, asked.demand, () => {
        dns?.server.refresh();
        names.refresh();
      });
    },
    async stop() {
      // Ports first: whoever asks next is to go elsewhere at once.
      await Promise.all([dns?.server.stop(), http?.server.stop()]);
      await stopGeneration(current, context);
    },
  };
}

async function startGeneration(
  config: Config,
  context: CliContext,
  demand: Demand,
  onTable: () => void,
): Promise<Generation> {
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
      names: liveNames(opened.target, config, onTable),
      isFresh: false,
      done: Promise.resolve(),
    };
    generation.done = live(generation, demand, signal, context);
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
async function live(generation: Generation, demand: Demand, signal: AbortSignal, context: CliContext): Promise<void> {
  const { config, adapters, opened, leadership } = generation;
  const { target } = opened;
  const { log, metrics } = context;
  if (!(await startTarget(target, signal, log))) return;
  generation.isFresh = target.standing().objects.size === 0;
  await generation.names.renew(signal).catch(() => undefined);
  if (signal.aborted) return;
  const onDecision = generation.names.know;
  const controller = startController({
    ...{ config, adapters, target, leadership, demand, onDecision, signal, log, metrics },
  });
  generation.controller = controller;
  const ttlMs = demandTtls(config.registries);
  const channel = ttlMs.size === 0 || config.policy.mode === "dry-run" ? undefined : opened.demand;
  const relayed =
    channel !== undefined &&
    relayDemand({ channel, demand, leadership, latest: controller.latest, ttlMs, nowMs: target.nowMs, signal, log });
  await generation.names.follow(signal, log);
  await Promise.all([controller.done, relayed]);
}

/** @throws When there is no such registry, or nothing may be written. */
async function releaseBrake(generation: Generation | undefined, registry: string): Promise<void> {
  const why = `Cannot release the brake of "${registry}"`;
  if (generation === undefined) throw new Error(`${why} as the target has not been opened yet`);
  const { config, opened } = generation;
  if (!config.registries.some(({ name }) => name === registry))
    throw new Error(`${why} as it must be a configured registry`);
  if (config.policy.mode === "dry-run") throw new Error(`${why} as policy.mode is dry-run`);
  await opened.markAllowDeletes([registry]);
}

function readiness(generation: Generation | undefined, signal: AbortSignal): { ready: boolean; reasons: string[] } {
  if (signal.aborted) return { ready: false, reasons: ["the process is stopping"] };
  const table = generation?.names.table();
  if (generation === undefined || table === undefined)
    return { ready: false, reasons: ["the target has not been read yet"] };
  const { names, opened, controller, isFresh } = generation;
  if (isFresh && controller?.hasPassed() !== true) {
    return { ready: false, reasons: ["nothing stood at the start and the first pass has not ended"] };
  }
  const rows = [...table.names.values()].filter(({ waits }) => waits !== true);
  const isUnsettled = rows.length > 0 && rows.every(({ settledAtMs }) => settledAtMs > Date.now());
  const isBehind = isFresh && names.version() !== opened.target.version();
  if (isUnsettled || isBehind) return { ready: false, reasons: ["the names have not settled yet"] };
  generation.isFresh = false;
  return { ready: true, reasons: [] };
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
