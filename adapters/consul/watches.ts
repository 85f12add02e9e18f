import { setImmediate as turnOfLoop } from "node:timers/promises";
import { readFailure } from "../../src/errors.ts";
import type { Answer, ConsulClient, Query } from "./client.ts";
import { CHECKS, type Datacenter, healthPath, MAX_LIST_BYTES, NODES, READS_AT_ONCE, SERVICES } from "./datacenter.ts";
import type { ConsulMetrics } from "./metrics.ts";
import { gate } from "./requests.ts";
import { type Sweep, sweep } from "./sweep.ts";
import { watch } from "./watch.ts";

/** Blocking queries that say nothing of one service alone: on services, nodes and checks. */
const GLOBAL_WATCHES = 3;
/** After too many connections, so many more are tried with each poll. */
const REGROWTH = 5;
const BEGUN_AT_ONCE = 50;

/** Blocking queries of one datacenter; they go on from wait to wait. */
export interface Watches {
  /** Wait for changes from now on; does nothing while it does. */
  start(): void;
  stop(): void;
  isRunning(): boolean;
  /** A poll has read everything. */
  polled(wentBack: boolean): void;
  /** A service was read. */
  onRead(name: string, hasMoved: boolean): void;
}

export interface WatchesOptions {
  readonly member: Datacenter;
  readonly client: ConsulClient;
  readonly metrics: ConsulMetrics;
  /** Blocking queries at once where each takes a connection. */
  readonly maxConnections: number;
  /** As in the client's blocking queries. */
  readonly waitMs: number;
  readonly onDoubt: () => void;
}

interface Running {
  readonly end: AbortController;
  readonly sweep: Sweep;
  readonly services: Map<string, AbortController>;
}

/**
 * Watch one datacenter.
 *
 * Where queries share connections (HTTP/2), every service has one of its own. Elsewhere the services that moved last have one, and
 * three queries on everything say when one of the others has moved, which a sweep then finds.
 */
export function watches({ member, client, metrics, maxConnections, waitMs, onDoubt }: WatchesOptions): Watches {
  const { name: dc } = member;
  const most = Math.max(0, maxConnections - GLOBAL_WATCHES);
  const atOnce = gate(READS_AT_ONCE);
  let allowed = most;
  let running: Running | undefined;

  async function ask(path: string, query: Query, index: number | undefined, signal: AbortSignal): Promise<Answer> {
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

  function onBackwards(): void {
    member.doubt();
    onDoubt();
  }

  function start(): void {
    if (running !== undefined) return;
    const end = new AbortController();
    const services = new Map<string, AbortController>();
    running = { end, services, sweep: sweep(member, (name) => services.has(name), end.signal) };
    watchList(running);
    if (!client.isMultiplexed()) {
      watchTable(running, NODES, member.indexes().nodes);
      watchTable(running, CHECKS, member.indexes().checks);
    }
    sync(running);
  }

  function watchList(now: Running): void {
    void watch(
      {
        ask: (index, signal) => ask(SERVICES.path, { dc, maxBytes: MAX_LIST_BYTES }, index, signal),
        index: () => member.indexes().services,
        async onChange(answer, signal) {
          if (!client.isMultiplexed()) now.sweep.request();
          await member.acceptList(answer, signal);
          sync(now);
        },
        onBackwards,
        waitMs,
      },
      now.end.signal,
    );
  }

  function watchTable(now: Running, { path, params }: typeof NODES, first: number): void {
    let known = first;
    void watch(
      {
        ask: (index, signal) => ask(path, { dc, params }, index, signal),
        index: () => known,
        onChange({ index }) {
          known = index;
          now.sweep.request();
        },
        onBackwards,
        waitMs,
      },
      now.end.signal,
    );
  }

  function watchService(now: Running, name: string): void {
    const own = new AbortController();
    now.services.set(name, own);
    void watch(
      {
        ask: (index, signal) => ask(healthPath(name), { dc }, index, signal),
        index: () => member.indexOf(name),
        onChange: (answer) => member.acceptService(name, answer),
        onBackwards,
        waitMs,
        onFailure(error) {
          const isOver = !client.isMultiplexed() && isTooMany(error);
          if (isOver) yieldPlace(now, name);
          return !isOver;
        },
      },
      own.signal,
    );
  }

  function yieldPlace(now: Running, name: string): void {
    allowed = Math.floor(now.services.size / 2);
    now.services.delete(name);
    trim(now);
  }

  /** Watch what is listed, and no longer what is not. */
  function sync(now: Running): void {
    const names = member.names();
    for (const [name, own] of now.services) {
      if (names.has(name)) continue;
      own.abort();
      now.services.delete(name);
    }
    if (client.isMultiplexed()) void watchAll(now, names);
  }

  /** Thousands at once would keep everyone else waiting. */
  async function watchAll(now: Running, names: ReadonlySet<string>): Promise<void> {
    let begun = 0;
    for (const name of names) {
      if (now.services.has(name)) continue;
      if (++begun % BEGUN_AT_ONCE === 0) await turnOfLoop();
      if (now.end.signal.aborted || member.names() !== names) return; // another sync follows, or none
      watchService(now, name);
    }
  }

  function trim({ services }: Running): void {
    for (const [name, own] of services) {
      if (services.size <= allowed) return;
      own.abort();
      services.delete(name);
    }
  }

  function onRead(name: string, hasMoved: boolean): void {
    if (running === undefined || !hasMoved || client.isMultiplexed()) return;
    running.sweep.note(name);
    const own = running.services.get(name);
    if (own !== undefined) {
      running.services.delete(name);
      running.services.set(name, own); // the last to go now
    } else if (allowed > 0 && member.names().has(name)) watchService(running, name);
    trim(running);
  }

  function stop(): void {
    for (const own of running?.services.values() ?? []) own.abort();
    running?.end.abort();
    running = undefined;
  }

  return {
    start,
    stop,
    isRunning: () => running !== undefined,
    onRead,
    polled(wentBack) {
      allowed = Math.min(most, allowed + REGROWTH);
      if (running === undefined) return;
      if (!wentBack) return sync(running);
      stop();
      start();
    },
  };
}

function isTooMany(error: unknown): boolean {
  return readFailure(error) === "server" && error instanceof Error && error.message.includes("answered 429");
}
