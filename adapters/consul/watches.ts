import { setImmediate as turnOfLoop } from "node:timers/promises";
import { type Gate, gate } from "../../src/async/gate.ts";
import { readFailure } from "../../src/errors.ts";
import type { ConsulClient } from "./client/client.ts";
import { SERVICES_PARSER } from "./client/reply.ts";
import type { Answer, Query } from "./client/request.ts";
import type { Datacenter } from "./datacenter.ts";
import type { ConsulMetrics } from "./metrics.ts";
import { type Search, searchIn } from "./search.ts";
import { READS_AT_ONCE } from "./service-reads.ts";
import { SIGN_WATCHES, type Signs, watchSigns } from "./signs.ts";
import { SERVICES } from "./tables.ts";
import { watchRegistrations } from "./tick.ts";
import { type WatchOptions, watch } from "./watch.ts";

/** Blocking queries that are not about one service: on the list, and on signs. */
const GLOBAL_WATCHES = 1 + SIGN_WATCHES;
/** After too many connections, so many more are tried with each poll. */
const REGROWTH = 5;
const BEGUN_AT_ONCE = 50;
/** How often it is asked whether Consul has gone back, where nothing but blocking queries would tell. */
const TICK_MS = 1000;

/** Blocking queries of one datacenter; they go on from wait to wait. */
export interface Watches {
  /** Wait for changes from now on; does nothing while it does. */
  start(): void;
  stop(): void;
  isRunning(): boolean;
  /** Whether a change of this service is told. */
  covers(name: string): boolean;
  /** A poll has ended. */
  polled(wentBack: boolean): void;
  /** A service was read. */
  onRead(name: string, hasChanged: boolean): void;
}

/** What is watched, and how. */
export interface WatchesOptions {
  readonly reader: Datacenter;
  readonly client: ConsulClient;
  readonly metrics: ConsulMetrics;
  /** Blocking queries at once where each takes a connection. */
  readonly maxConnections: number;
  /** As in the client's blocking queries. */
  readonly waitMs: number;
}

/** The blocking queries on one service. */
interface Own {
  readonly end: AbortController;
  /** One waits now for what comes after that which is known. */
  isWaiting: boolean;
}

/** The queries that go on at the moment. */
interface Running {
  readonly end: AbortController;
  /** Where not every service has a query of its own. */
  readonly search: (Search & { readonly signs: Signs }) | undefined;
  /** By the name of their service; the first is the one to end when there are too many. */
  readonly services: Map<string, Own>;
  /** Those of the last {@link sync}. */
  names: ReadonlySet<string> | undefined;
  /** As the last poll found them. */
  indexes: string;
}

interface State {
  readonly options: WatchesOptions;
  readonly atOnce: Gate;
  /** Blocking queries on services, at most and for now. */
  readonly most: number;
  allowed: number;
  running: Running | undefined;
}

/**
 * Watch one datacenter.
 *
 * Where queries share connections (HTTP/2), every service has one of its own. Elsewhere the services that changed last have one, and
 * signs say when one of the others has changed, which are followed or lead to a search.
 */
export function watchesOf(options: WatchesOptions): Watches {
  const most = Math.max(0, options.maxConnections - GLOBAL_WATCHES);
  const state: State = { options, atOnce: gate(READS_AT_ONCE), most, allowed: most, running: undefined };
  return {
    start: () => start(state),
    stop: () => stop(state),
    isRunning: () => state.running !== undefined,
    covers(name) {
      const { services, search } = state.running ?? {};
      return services?.get(name)?.isWaiting === true || (search?.isWell() === true && search.signs.isWell());
    },
    polled(wentBack) {
      state.allowed = Math.min(most, state.allowed + REGROWTH);
      if (state.running === undefined) return;
      if (!wentBack) return goOn(state, state.running);
      stop(state);
      start(state);
    },
    onRead(name, hasChanged) {
      if (hasChanged) onChanged(state, name);
    },
  };
}

function start(state: State): void {
  if (state.running !== undefined) return;
  const { reader, client } = state.options;
  const end = new AbortController();
  const services = new Map<string, Own>();
  const search = client.isMultiplexed() ? undefined : startSearch(state, services, end.signal);
  if (search === undefined) void watchRegistrations({ reader, client, everyMs: TICK_MS }, end.signal);
  const running: Running = { end, services, search, names: undefined, indexes: JSON.stringify(reader.indexes()) };
  state.running = running;
  void reader.verify(end.signal);
  watchList(state, running);
  sync(state, running);
}

function startSearch(state: State, services: ReadonlyMap<string, Own>, signal: AbortSignal): Running["search"] {
  const { reader, client } = state.options;
  const search = searchIn({ reader, isWatched: (name) => services.has(name) }, signal);
  const signs = watchSigns(
    {
      ...{ reader, client, search },
      begin: (path, query, options) =>
        begin(state, signal, { ask: (index, limit) => ask(state, path, query, index, limit), ...options }),
    },
    signal,
  );
  return { ...search, signs };
}

/** After a poll that met no doubt: what it saw to have moved is looked for, even if no sign told of it. */
function goOn(state: State, running: Running): void {
  const indexes = JSON.stringify(state.options.reader.indexes());
  if (indexes !== running.indexes) running.search?.lookAround();
  running.indexes = indexes;
  sync(state, running);
}

function stop(state: State): void {
  for (const { end } of state.running?.services.values() ?? []) end.abort();
  state.running?.end.abort();
  state.running = undefined;
}

/** Where each query takes a connection, what has just changed gets one, and the one whose service changed longest ago ends. */
function onChanged(state: State, name: string): void {
  const { running, allowed, options } = state;
  if (running === undefined || options.client.isMultiplexed()) return;
  running.search?.note(name);
  const own = running.services.get(name);
  if (own !== undefined) {
    running.services.delete(name);
    running.services.set(name, own); // the last to go now
  } else if (allowed > 0 && options.reader.names().has(name)) watchService(state, running, name);
  trim(state, running);
}

function watchList(state: State, running: Running): void {
  const { reader } = state.options;
  const query = { dc: reader.name, parser: SERVICES_PARSER };
  begin(state, running.end.signal, {
    ask: (index, signal) => ask(state, SERVICES.path, query, index, signal),
    index: () => reader.indexes().services,
    async onChange(answer, signal) {
      running.search?.request(answer.index);
      await reader.acceptList(answer, signal);
      sync(state, running);
    },
  });
}

function watchService(state: State, running: Running, name: string): void {
  const { reader, client } = state.options;
  const own: Own = { end: new AbortController(), isWaiting: false };
  running.services.set(name, own);
  begin(state, own.end.signal, {
    ask(index, signal) {
      own.isWaiting = index !== undefined;
      return ask(state, reader.pathOf(name), { dc: reader.name, ...reader.instancesQuery }, index, signal);
    },
    index: () => reader.indexOf(name),
    onChange: (answer) => reader.acceptService(name, answer),
    onFailure(error) {
      own.isWaiting = false;
      const isOver = !client.isMultiplexed() && isTooMany(error);
      if (isOver) yieldPlace(state, running, name);
      return !isOver;
    },
  });
}

function begin<Result>(
  { options: { reader, waitMs } }: State,
  signal: AbortSignal,
  options: Omit<WatchOptions<Result>, "waitMs" | "onBackwards">,
): void {
  void watch({ ...options, waitMs, onBackwards: () => reader.doubt() }, signal);
}

async function ask<Result>(
  { options: { client, metrics }, atOnce }: State,
  path: string,
  query: Query<Result>,
  index: number | undefined,
  signal: AbortSignal,
): Promise<Answer<Result>> {
  if (index === undefined) return atOnce(() => client.get(path, query, signal), signal);
  metrics.watches(1);
  try {
    const answer = await client.get(path, { ...query, index }, signal);
    if (answer.index !== index) metrics.woke();
    return answer;
  } finally {
    metrics.watches(-1);
  }
}

/** Consul takes no more connections: half as many queries have to do for now. */
function yieldPlace(state: State, running: Running, name: string): void {
  state.allowed = Math.floor(running.services.size / 2);
  running.services.delete(name);
  trim(state, running);
}

function trim({ allowed }: State, { services }: Running): void {
  for (const [name, own] of services) {
    if (services.size <= allowed) return;
    own.end.abort();
    services.delete(name);
  }
}

/** Watch what is listed, and no longer what is not. */
function sync(state: State, running: Running): void {
  const { reader, client } = state.options;
  const names = reader.names();
  if (names === running.names) return;
  running.names = names;
  for (const [name, own] of running.services) {
    if (names.has(name)) continue;
    own.end.abort();
    running.services.delete(name);
  }
  if (client.isMultiplexed()) void watchAll(state, running, names);
}

/** Thousands at once would keep everyone else waiting. */
async function watchAll(state: State, running: Running, names: ReadonlySet<string>): Promise<void> {
  let begun = 0;
  for (const name of names) {
    if (running.services.has(name)) continue;
    if (++begun % BEGUN_AT_ONCE === 0) await turnOfLoop();
    if (running.end.signal.aborted || state.options.reader.names() !== names) return; // another sync follows, or none
    watchService(state, running, name);
  }
}

function isTooMany(error: unknown): boolean {
  return readFailure(error) === "server" && error instanceof Error && error.message.includes("answered 429");
}
