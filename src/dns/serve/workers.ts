import { setTimeout as sleep } from "node:timers/promises";
import { allowList, firstMatch } from "./allow.ts";
import { type NameFeed, nameFeed, sendAll } from "./name-feed.ts";
import type { DnsServer, ListenAddress, WorkersOptions } from "./options.ts";
import { startWorker, type WorkerThread } from "./worker-thread.ts";

/** A thread that ended is started again after this time. */
const REVIVE_MS = 1000;
/** Threads have freed their ports by then. */
const STOP_MS = 950;

interface State {
  readonly options: WorkersOptions;
  readonly feed: NameFeed;
  /** Threads that answer, by number. */
  readonly threads: Map<number, WorkerThread>;
  readonly starting: Set<WorkerThread>;
  /** What the first thread bound. */
  bound: readonly ListenAddress[];
  isStopping: boolean;
}

/**
 * A DNS server of `workers` threads that share nothing. Each has a UDP socket of its own on every address (SO_REUSEPORT), its own
 * copy of the names, and its own questions to upstreams. The first one also takes TCP, without SO_REUSEPORT, so that a second
 * process on the same port is noticed.
 */
export function dnsWorkers(options: WorkersOptions): DnsServer {
  const { table, log, workers } = options;
  // A range that cannot be read is an error here and now.
  for (const ranges of [options.allow, options.clientSubnetFrom ?? []]) allowList(ranges);
  firstMatch(options.views ?? []);
  const threads = new Map<number, WorkerThread>();
  const feed = nameFeed({ table, log, threads: () => [...threads.values()] });
  const state: State = { options, feed, threads, starting: new Set(), bound: [], isStopping: false };
  return {
    async start() {
      try {
        state.bound = await startThread(state, 0);
        await Promise.all(Array.from({ length: workers - 1 }, (_, index) => startThread(state, index + 1)));
      } catch (error) {
        await stop(state);
        throw error;
      }
      return state.bound;
    },
    refresh: feed.refresh,
    isCurrent: () => feed.isCurrent() && threads.size === workers,
    stop: () => stop(state),
  };
}

/** Start a thread; the first one chooses the ports where any will do. */
async function startThread(state: State, index: number): Promise<readonly ListenAddress[]> {
  const { feed, starting } = state;
  const { table: _table, hooks = {}, log, workers, ...options } = state.options;
  const listen = index === 0 && state.bound.length === 0 ? options.listen : state.bound;
  const names = feed.first();
  const setup = {
    options: { ...options, listen },
    tcp: index === 0,
    reusePort: workers > 1,
    namesFirst: names !== undefined,
  };
  const thread = startWorker(index, setup, { hooks, log });
  starting.add(thread);
  try {
    if (names !== undefined) await Promise.race([sendAll([thread], names), thread.listening]);
    const where = await thread.listening;
    state.threads.set(index, thread);
    void thread.ended.then(() => revive(state, index));
    feed.join(names);
    return where;
  } finally {
    starting.delete(thread);
  }
}

/** Start a thread again. Without it, its socket's share of the clients gets no answers. */
async function revive(state: State, index: number): Promise<void> {
  const { log } = state.options;
  state.threads.delete(index);
  for (;;) {
    if (state.isStopping) return;
    log.warn({ thread: index }, "a thread of the DNS server ended; it is started again");
    await sleep(REVIVE_MS, undefined, { ref: false });
    if (state.isStopping) return;
    try {
      return void (await startThread(state, index));
    } catch (error) {
      log.warn({ error, thread: index }, "a thread of the DNS server cannot be started");
    }
  }
}

async function stop(state: State): Promise<void> {
  state.isStopping = true;
  state.feed.stop();
  const late = sleep(STOP_MS, undefined, { ref: false });
  const all = [...state.threads.values(), ...state.starting];
  for (const thread of all) thread.stop();
  await Promise.race([Promise.all(all.map(({ ended }) => ended)), late]);
  await Promise.all(all.map((thread) => thread.terminate()));
}
