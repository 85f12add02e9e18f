import { createChanges } from "../../src/async/changes.ts";
import { describeError, ReadError, readFailure } from "../../src/errors.ts";
import { isServiceName } from "../../src/istio/limits.ts";
import type { ServiceRead, SkippedService } from "../../src/model/adapter.ts";
import { MOST_SKIPPED, namelessService, ownService, unwantedService } from "../shapes/skipped.ts";
import type { Connection } from "./client/connection.ts";
import { type Entry, newEntry, tell } from "./entry.ts";
import type { Look } from "./held-back.ts";
import { isOther, listNames } from "./list.ts";
import { dubboName, isNacosName, meshName, type NacosName, nacosName } from "./names.ts";
import { lose, type NamespaceOptions, type State } from "./namespace-state.ts";
import { ask, pushed, subscribe } from "./questions.ts";

/** One namespace of a registry: what is listed in it, and how each service is. */
export interface Namespace {
  readonly id: string;
  /** Read all lists, ask for what is new, gone or due. @throws {ReadError} When nothing of it can be read. */
  poll(signal: AbortSignal, standing: readonly string[]): Promise<void>;
  /** Connect anew where the connection has ended, and ask for everything again. @throws {ReadError} When that cannot be done. */
  recover(signal: AbortSignal): Promise<void>;
  /** See whether the lists name other services by now. @throws {ReadError} When they cannot be read. */
  look(signal: AbortSignal): Promise<void>;
  /** Whether they do: then a poll is needed. */
  isStale(): boolean;
  /** Milliseconds for which the server may lack what is registered. */
  settlingMs(): number;
  /** @param failure why it could not be read */
  tell(look: Look, failure: ReadError | undefined): Told;
  /** Resolves when its connection has ended, or there is none; or rejects when the signal aborts. */
  ended(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** What a namespace says. */
export interface Told {
  readonly services: readonly ServiceRead[];
  readonly skipped: readonly SkippedService[];
  readonly incomplete?: string | undefined;
  readonly notes: readonly string[];
}

/** Clients come back to a server that was away within 8 s (they try every 5 s, and register anew every 3), those by HTTP with their beat. */
const SETTLE_MS = 30_000;
/** Nothing is opened before the first poll. */
export function namespace(id: string, options: NamespaceOptions): Namespace {
  const state: State = {
    ...options,
    id,
    entries: new Map(),
    connection: undefined,
    wasAway: false,
    settlesAtMs: Number.NEGATIVE_INFINITY,
    polledAtMs: options.nowMs(),
    listed: undefined,
    isStale: false,
    skipped: [],
    isClosed: false,
    ends: createChanges(),
  };
  const settlingMs = () => Math.max(0, state.settlesAtMs - state.nowMs());
  return {
    id,
    poll: (signal, standing) => poll(state, standing, signal),
    recover: (signal) => recover(state, signal),
    look: (signal) => look(state, signal),
    isStale: () => state.isStale,
    settlingMs,
    tell: (look, failure) =>
      failure === undefined ? told(state, { ...look, isSettling: settlingMs() > 0 }) : unread(state, failure),
    ended: (signal) => {
      const known = state.connection === undefined ? -1 : state.ends.version();
      return state.ends.wait(known, signal);
    },
    close() {
      state.isClosed = true;
      state.connection?.close();
    },
  };
}

/** Nothing is believed of a namespace that could not be read. */
function unread({ id, entries, skipped }: State, cause: ReadError): Told {
  const services = [...entries.values()].map(({ key }): ServiceRead => ({ state: "failed", key, cause }));
  return { services, skipped, incomplete: `namespace ${id}: ${describeError(cause)}`, notes: [] };
}

function told(state: State, at: Parameters<typeof tell>[1]): Told {
  const { entries, listed } = state;
  const outside: SkippedService[] = [];
  const sorted = [...entries.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  const services = sorted.flatMap((entry): ServiceRead[] => {
    const read = tell(entry, at);
    const name = `${state.id}/${meshName(entry.name)}`;
    if (read === undefined) outside.push({ name, kind: "filter", why: OUTSIDE });
    if (read?.state === "ok" && read.service.podsOnly === true)
      outside.push({ name, kind: "kubernetes", why: PODS_ONLY });
    return read === undefined ? [] : [read];
  });
  const incomplete = [listed?.incomplete, at.isSettling ? SETTLING : undefined].filter((one) => one !== undefined);
  return {
    services,
    skipped: [...state.skipped, ...outside].slice(0, MOST_SKIPPED),
    incomplete: incomplete.length === 0 ? undefined : `namespace ${state.id}: ${incomplete.join("; ")}`,
    notes: listed?.notes ?? [],
  };
}

const SETTLING = "the server answers since a moment ago, and what it lacks may come back";
const OUTSIDE = "the registry's options instances or clusters leave all its instances out";
const PODS_ONLY = "all its instances are pods, which a bridge registered";

async function poll(state: State, standing: readonly string[], signal: AbortSignal): Promise<void> {
  const elapsedMs = state.nowMs() - state.polledAtMs;
  state.polledAtMs = state.nowMs();
  try {
    const connection = await connected(state, signal);
    const listed = await listNames(state, connection, signal);
    const names = adopt(state, listed.names);
    const missing = [...state.entries].filter(([name]) => !names.has(name)).map(([, entry]) => entry);
    for (const name of standing)
      if (!names.has(name) && !state.entries.has(name) && state.isWanted(name))
        missing.push(newEntry(nacosName(name), state.registry, state.id));
    state.listed = listed;
    state.isStale = false;
    const fresh = [...state.entries.values()].filter((entry) => !entry.isSubscribed && names.has(meshName(entry.name)));
    await ask(state, connection, new Set([...fresh, ...due(state, elapsedMs)]), signal);
    await verify(state, connection, missing, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (["connection", "timeout"].includes(readFailure(error))) lose(state, state.connection);
    throw error instanceof ReadError ? error : new ReadError("answer", "cannot be read", { cause: error });
  }
}

/** Make entries of what is new and wanted. @returns Names in the mesh of all that is listed and wanted. */
function adopt(state: State, listed: readonly NacosName[]): ReadonlySet<string> {
  const { id, isWanted, entries, registry } = state;
  const names = new Set<string>();
  const skipped: SkippedService[] = [];
  for (const one of listed) {
    const name = meshName(one);
    const category = dubboName(one.name)?.category ?? "providers";
    if (!isNacosName(one) || !isServiceName(name)) skipped.push(namelessService(id, name));
    else if (category !== "providers") skipped.push(ownService(id, name));
    else if (!isWanted(name)) skipped.push(unwantedService(id, name));
    else {
      names.add(name);
      if (!entries.has(name)) entries.set(name, newEntry(one, registry, id));
    }
  }
  state.skipped = skipped;
  return names;
}

/** Those whose turn it is to be verified: a part of all at each poll, so that all are within `verifyEvery`; and those in doubt. */
function due({ entries, options }: State, elapsedMs: number): readonly Entry[] {
  const all = [...entries.values()];
  const count = Math.ceil((all.length * elapsedMs) / options.verifyEvery);
  const oldest = all.toSorted((a, b) => a.verifiedAtMs - b.verifiedAtMs).slice(0, count);
  return [...oldest, ...all.filter(({ failure, isSubscribed }) => failure !== undefined || !isSubscribed)];
}

/** What is not listed is gone only if the server does not know it by name either: a list may lack what a token may not see. */
async function verify(
  state: State,
  connection: Connection,
  missing: readonly Entry[],
  signal: AbortSignal,
): Promise<void> {
  await ask(state, connection, new Set(missing), signal, false);
  for (const entry of missing) {
    const name = meshName(entry.name);
    const isThere = entry.failure !== undefined || entry.emptySinceMs === undefined;
    if (isThere && !state.entries.has(name)) state.entries.set(name, entry);
    // A server that was away may not have everybody back yet.
    if (isThere || !state.entries.has(name) || state.settlesAtMs > state.nowMs()) continue;
    if (entry.isSubscribed) await subscribe(state, connection, entry, false, signal);
    state.entries.delete(name);
    state.onChange();
  }
}

/** The connection, made anew where there is none: then nothing is subscribed, and a server that was away may lack what it knew. */
async function connected(state: State, signal: AbortSignal): Promise<Connection> {
  if (state.isClosed) throw new ReadError("connection", "Cannot ask as the adapter is closed");
  if (state.connection !== undefined) return state.connection;
  let isOver = false;
  try {
    const connection = await state.session.open(
      {
        namespace: state.id,
        onPush: (body) => pushed(state, body),
        onEnd: () => {
          isOver = true;
          lose(state, state.connection);
          state.session.leave();
        },
      },
      signal,
    );
    if (state.isClosed || isOver) connection.close();
    if (state.isClosed || isOver) throw new ReadError("connection", "the connection was ended at once");
    if (state.wasAway) state.settlesAtMs = state.nowMs() + SETTLE_MS;
    state.wasAway = false;
    for (const entry of state.entries.values()) Object.assign(entry, { isSubscribed: false, atMs: 0 });
    state.connection = connection;
    return connection;
  } catch (error) {
    if (!signal.aborted) state.wasAway = true;
    throw error;
  }
}

async function recover(state: State, signal: AbortSignal): Promise<void> {
  const before = state.connection;
  const connection = await connected(state, signal);
  if (connection === before) return;
  await ask(state, connection, new Set(state.entries.values()), signal);
  state.onChange();
}

async function look(state: State, signal: AbortSignal): Promise<void> {
  const { connection, listed } = state;
  if (connection === undefined || listed === undefined || state.isStale) return;
  if (!(await isOther(state, connection, listed, signal))) return;
  state.isStale = true;
  state.onChange();
}
