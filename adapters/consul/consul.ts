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
import { type Datacenter, datacenter, type PollOptions } from "./datacenter.ts";
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
  /** The last poll has succeeded. */
  isKnown: boolean;
  /** A poll that nobody waits for. */
  beside: { readonly end: AbortController; readonly done: Promise<void> } | undefined;
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
    async read(signal, { trigger, isAwaited = false, standing = () => [] }) {
      signal.throwIfAborted();
      const names = () => namesOf(standing(), options.namespace);
      const isDue = trigger === "poll";
      if (isUnsure(state) || (isDue && (isAwaited || !isWatched(state)))) await poll(state, names(), signal);
      else if (isDue) pollBeside(state, names());
      return state.catalog.snapshot();
    },
    waitForChange: (revision, signal) => waitForChange(state, revision, signal),
    async close() {
      clearTimeout(state.idle);
      state.beside?.end.abort();
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
    const onDoubt = changes.notify;
    const reader = datacenter({ name, client, options, rules, catalog: all, pool, onRead, onDoubt });
    const watches = watchesOf({ reader, client, metrics, maxConnections, waitMs: options.wait });
    return { reader, watches };
  });
  const known = { isKnown: false, hintedAtMs: Number.NEGATIVE_INFINITY };
  return { registry, client, catalog: all, members, changes, ...known, beside: undefined, idle: undefined };
}

/** What is known may not hold: only a poll that is waited for tells. */
function isUnsure({ isKnown, members }: State): boolean {
  return !isKnown || members.some(({ reader }) => reader.isDoubtful());
}

function isWatched({ members }: State): boolean {
  return members.every(({ watches }) => watches.isRunning());
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
  state.isKnown = false;
  state.beside?.end.abort();
  await state.beside?.done;
  const results = await Promise.allSettled(members.map((member) => pollOne(member, { standing }, signal)));
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

/** Poll while changes are told: they are taken in meanwhile. What the poll cannot settle, the next read waits for. */
function pollBeside(state: State, standing: readonly string[]): void {
  if (state.beside !== undefined) return;
  const end = new AbortController();
  const poll = async () => {
    const options = { standing, isBeside: true } as const;
    const results = await Promise.allSettled(state.members.map((member) => pollOne(member, options, end.signal)));
    state.beside = undefined;
    if (end.signal.aborted || results.every(({ status }) => status === "fulfilled")) return;
    state.isKnown = false;
    state.changes.notify();
  };
  state.beside = { end, done: poll() };
}

async function pollOne({ reader, watches }: Member, options: PollOptions, signal: AbortSignal): Promise<void> {
  const isCovered = watches.isRunning() ? { isCovered: (name: string) => watches.covers(name) } : {};
  watches.polled(await reader.poll({ ...options, ...isCovered }, signal));
}

async function waitForChange(state: State, revision: string, signal: AbortSignal): Promise<void> {
  const { catalog: all, changes } = state;
  signal.throwIfAborted();
  clearTimeout(state.idle);
  for (const { watches } of state.members) watches.start();
  try {
    while (String(all.version()) === revision && !isUnsure(state)) await changes.wait(changes.version(), signal);
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
