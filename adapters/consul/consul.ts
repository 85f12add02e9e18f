import { setTimeout as sleep } from "node:timers/promises";
import { type Changes, createChanges } from "../../src/async/changes.ts";
import { ReadError, readFailure } from "../../src/errors.ts";
import type { Adapter } from "../../src/model/adapter.ts";
import { parseServiceKey, type ServiceKey } from "../../src/model/service.ts";
import type { AdapterContext } from "../context.ts";
import { intern } from "../intern.ts";
import { compileRules } from "../shapes/rules.ts";
import { type Catalog, catalog } from "./catalog.ts";
import { type ConsulClient, consulClient } from "./client/client.ts";
import { type Datacenter, datacenter } from "./datacenter.ts";
import { consulMetrics } from "./metrics.ts";
import type { ConsulOptions } from "./options.ts";
import { type Watches, watchesOf } from "./watches.ts";

/** The first change of many is told at once, those that follow within this time together. */
const GATHER_MS = 50;
/** Blocking queries end when nobody has waited for a change for so long. */
const IDLE_MS = 600_000;

/** One datacenter, and the blocking queries on it. */
interface Member {
  readonly reader: Datacenter;
  readonly watches: Watches;
}

/** A registry and what is known of it. */
interface State {
  readonly registry: string;
  readonly client: ConsulClient;
  readonly catalog: Catalog;
  readonly members: readonly Member[];
  /** Of the catalog, and doubts about it. */
  readonly changes: Changes;
  /** A poll has succeeded. */
  isKnown: boolean;
  /** By performance.now(). */
  hintedAtMs: number;
  /** Ends the blocking queries. */
  idle: NodeJS.Timeout | undefined;
}

/** A registry that is a Consul, of one datacenter or of several. */
export function consul(options: ConsulOptions, context: AdapterContext): Adapter {
  const { registry } = context;
  const state = newState(options, context);
  return {
    registry,
    async read(signal, { trigger, standing = () => [] }) {
      signal.throwIfAborted();
      if (trigger === "poll" || !state.isKnown || isDoubtful(state))
        await poll(state, namesOf(standing(), options.namespace), signal);
      return state.catalog.snapshot();
    },
    waitForChange: (revision, signal) => waitForChange(state, revision, signal),
    async close() {
      clearTimeout(state.idle);
      stopWatches(state);
      state.client.close();
    },
  };
}

function newState(options: ConsulOptions, context: AdapterContext): State {
  const { registry } = context;
  const metrics = consulMetrics(context.metrics, registry);
  const client = consulClient(options, context, metrics);
  const pool = intern();
  const rules = compileRules(options, true);
  const changes = createChanges();
  const all = catalog({
    ...{ registry, namespace: options.namespace, allUnhealthy: options.allUnhealthy },
    ...{ pool, rules, onChange: changes.notify },
  });
  const names = options.datacenters ?? [undefined];
  const maxConnections = Math.floor(options.maxConnections / names.length);
  const members = names.map((name): Member => {
    const onRead = (service: string, hasChanged: boolean) => watches.onRead(service, hasChanged);
    const reader = datacenter({ name, client, options, rules, catalog: all, pool, onRead });
    const onDoubt = changes.notify;
    const watches = watchesOf({ reader, client, metrics, maxConnections, waitMs: options.wait, onDoubt });
    return { reader, watches };
  });
  const hintedAtMs = Number.NEGATIVE_INFINITY;
  return { registry, client, catalog: all, members, changes, isKnown: false, hintedAtMs, idle: undefined };
}

function isDoubtful({ members }: State): boolean {
  return members.some(({ reader }) => reader.isDoubtful());
}

/** Names of services that stand in the mesh, as they are written there. */
function namesOf(standing: readonly ServiceKey[], namespace: string): readonly string[] {
  return standing.flatMap((key) => {
    const parts = parseServiceKey(key);
    return parts?.namespace === namespace ? [parts.name] : [];
  });
}

/** @throws When no datacenter can be read. */
async function poll(state: State, standing: readonly string[], signal: AbortSignal): Promise<void> {
  const { registry, members } = state;
  const results = await Promise.allSettled(members.map((member) => pollOne(member, standing, signal)));
  signal.throwIfAborted();
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (failures.length === members.length) {
    const [cause] = failures;
    const failure = readFailure(cause);
    if (failure === "other") throw cause;
    throw new ReadError(failure, `Cannot read services of registry "${registry}"`, { cause });
  }
  for (const [at, result] of results.entries())
    if (result.status === "rejected") members[at]?.reader.lose(result.reason);
  state.isKnown = true;
}

async function pollOne({ reader, watches }: Member, standing: readonly string[], signal: AbortSignal): Promise<void> {
  watches.polled(await reader.poll(standing, signal));
}

async function waitForChange(state: State, revision: string, signal: AbortSignal): Promise<void> {
  const { catalog: all, changes } = state;
  signal.throwIfAborted();
  clearTimeout(state.idle);
  for (const { watches } of state.members) watches.start();
  try {
    while (String(all.version()) === revision && !isDoubtful(state)) await changes.wait(changes.version(), signal);
    const sinceMs = performance.now() - state.hintedAtMs;
    if (sinceMs < GATHER_MS) await sleep(GATHER_MS - sinceMs, undefined, { signal });
    state.hintedAtMs = performance.now();
  } finally {
    clearTimeout(state.idle);
    state.idle = setTimeout(() => stopWatches(state), IDLE_MS).unref();
  }
}

function stopWatches({ members }: State): void {
  for (const { watches } of members) watches.stop();
}
