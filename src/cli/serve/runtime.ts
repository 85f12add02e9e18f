import { isDeepStrictEqual } from "node:util";
import type { Config } from "../../config/config.ts";
import { configDigest } from "../../config/digest.ts";
import type { DnsHooks } from "../../dns/observe/hooks.ts";
import type { DnsServer } from "../../dns/serve/options.ts";
import { describeError } from "../../errors.ts";
import { type PublishedNames, publishedNames } from "../../http/names.ts";
import type { StatusSource } from "../../http/routes.ts";
import { type HttpServer, httpServer } from "../../http/server.ts";
import type { NameTable } from "../../model/name-table.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import { plainText } from "../../text.ts";
import { namedServices } from "../../usage/json.ts";
import { type UsageSource, usageSource } from "../../usage/source.ts";
import type { CliContext } from "../context.ts";
import { planJson } from "../plan.ts";
import { type DemandSource, demandSource } from "./demand-source.ts";
import { serveDns } from "./dns-server.ts";
import {
  type Generation,
  pruneRegistry,
  readiness,
  releaseBrake,
  startGeneration,
  stopGeneration,
} from "./generation.ts";
import { httpOptions } from "./http-options.ts";
import { serviceMetrics } from "./metrics.ts";
import { servicesJson } from "./services-json.ts";

/** All that `x2istio run` runs, one configuration after the other. */
export interface Runtime {
  /**
   * Run by this configuration from now on. Servers whose section is the same are left alone.
   *
   * @throws When an address cannot be bound or the target is another process's.
   */
  use(config: Config): Promise<void>;
  /** Tell that the file's newest state cannot be used, and why; `undefined` once it can be. The configuration in use stays. */
  refuse(error: unknown): Promise<void>;
  stop(): Promise<void>;
}

/** A server, and the section that it was started by. */
interface Running<Section, Server> {
  readonly section: Section;
  readonly server: Server;
}

/** What changes with the configuration. */
interface State {
  current: Generation | undefined;
  dns: Running<Config["dns"], DnsServer> | undefined;
  http: Running<Config["http"], HttpServer> | undefined;
  /** Answers go on from the old table until a new generation has its own. */
  lastTable: NameTable | undefined;
  /** What is wrong with the file's newest state. */
  refused: { readonly error: string; readonly since: string } | undefined;
}

/** What stays for as long as the process runs, whatever the configuration. */
interface Parts {
  readonly context: CliContext;
  readonly names: PublishedNames;
  readonly asked: DemandSource;
  readonly usage: UsageSource;
}

/** Nothing runs before the first `use`. */
export function createRuntime(context: CliContext): Runtime {
  const state: State = {
    current: undefined,
    dns: undefined,
    http: undefined,
    lastTable: undefined,
    refused: undefined,
  };
  const parts = partsOf(state, context);
  return {
    async use(config) {
      await useDns(state, parts, config.dns);
      await useHttp(state, parts, config.http);
      if (state.current?.config === config) return;
      state.lastTable = tableOf(state);
      await stopGeneration(state.current, context);
      state.current = undefined;
      state.current = await startGeneration(config, context, parts.asked.demand, () => {
        state.dns?.server.refresh();
        parts.names.refresh();
      });
    },
    async refuse(error) {
      await refuse(state, context, error);
    },
    async stop() {
      // Ports first: whoever asks next is to go elsewhere at once.
      await Promise.all([state.dns?.server.stop(), state.http?.server.stop()]);
      await stopGeneration(state.current, context);
    },
  };
}

const MOST_CHARACTERS = 4000;

async function refuse(state: State, context: CliContext, error: unknown): Promise<void> {
  const { metrics, secrets, signal } = context;
  const nowMs = Date.now();
  state.refused =
    error === undefined
      ? undefined
      : { error: plainText(secrets.mask(describeError(error)), MOST_CHARACTERS), since: rfc3339(nowMs) };
  metrics.once(serviceMetrics).configRefused.set(error === undefined ? 0 : Math.floor(nowMs / 1000));
  if (state.refused === undefined || state.current?.config.policy.mode === "dry-run") return;
  const message = `the configuration file has changed and cannot be used, the old one stays in use: ${state.refused.error}`;
  const notice = { reason: "ConfigRefused", subject: state.refused.error, message };
  await state.current?.opened.target.report([], { signal, mayWrite: () => true }, [notice]);
}

/** Which configuration is in use, and what became of a newer one. */
function configurationJson({ current, refused }: State): object {
  return {
    file: current?.config.file ?? null,
    digest: current === undefined ? null : configDigest(current.config),
    state: refused === undefined ? "current" : "refused",
    ...refused,
    leader: current?.leadership.leaderConfig?.() ?? null,
  };
}

function tableOf({ current, lastTable }: State): NameTable | undefined {
  return current?.names.table() ?? lastTable;
}

function partsOf(state: State, context: CliContext): Parts {
  const table = () => tableOf(state);
  const asked = demandSource({ running: () => state.current, table, context });
  const usage = usageSource({
    table,
    services: () => namedServices(state.current?.controller?.latest()),
    demands: () => asked.demand.demands(),
    metrics: context.metrics,
    signal: context.signal,
  });
  const names = publishedNames({
    table,
    wantEndpoints: () => state.current?.names.wantEndpoints(),
    secretFile: () => state.current?.config.dns.names.secretFile,
  });
  return { context, names, asked, usage };
}

async function useDns(state: State, { asked, usage, context }: Parts, section: Config["dns"]): Promise<void> {
  if (state.dns !== undefined && isDeepStrictEqual(state.dns.section, section)) return;
  await state.dns?.server.stop();
  state.dns = undefined;
  const questions: Pick<DnsHooks, "onQuestions" | "onWanted"> = {
    onQuestions(batch) {
      usage.onQuestions(batch);
      asked.onQuestions(batch);
    },
    onWanted: asked.onWanted,
  };
  state.dns = { section, server: await serveDns(section, () => tableOf(state), context, questions) };
}

async function useHttp(state: State, parts: Parts, section: Config["http"]): Promise<void> {
  if (state.http !== undefined && isDeepStrictEqual(state.http.section, section)) return;
  const options = await httpOptions(section, () => state.current?.opened, parts.context); // may fail: the old one goes on
  await state.http?.server.stop();
  state.http = undefined;
  const source = { ...statusSource(state, parts), reports: parts.asked.reports(section) };
  state.http = { section, server: await httpServer({ ...options, source }) };
}

function statusSource(state: State, { names, usage, context: { metrics, signal } }: Parts): StatusSource {
  const latest = () => state.current?.controller?.latest();
  return {
    ready() {
      const found = readiness(state.current, signal);
      if (!found.ready || state.dns?.server.isCurrent() !== false) return found;
      return { ready: false, reasons: ["the DNS server has not loaded the names yet"] };
    },
    services: () => servicesJson(latest()),
    status: () => ({
      ...readiness(state.current, signal),
      leader: state.current?.leadership.holder() ?? null,
      configuration: configurationJson(state),
    }),
    plan() {
      const decision = latest();
      return decision === undefined
        ? { registries: [], changes: [], holds: [], configuration: configurationJson(state) }
        : {
            ...planJson(decision),
            leader: state.current?.leadership.holder() ?? null,
            configuration: configurationJson(state),
          };
    },
    usage: () => usage.json(),
    async metrics() {
      await usage.refreshMetrics();
      const differs = state.current?.leadership.leaderConfig?.() === "other";
      metrics.once(serviceMetrics).configDiffers.set(differs ? 1 : 0);
      return metrics.registry.metrics();
    },
    release: (registry) => releaseBrake(state.current, registry),
    prune: (registry) => pruneRegistry(state.current, registry),
    names,
  };
}
