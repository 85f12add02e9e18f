import { extname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { NameRow, NameTable } from "../model/name-table.ts";
import { allowList, firstMatch } from "./allow.ts";
import { nameChanges } from "./names.ts";
import type { DnsServer, DnsServerOptions, ListenAddress } from "./server.ts";
import type { FromWorker, NamesPart, ToWorker, WorkerSetup } from "./worker-messages.ts";

/** What a server of several threads needs. */
export type WorkersOptions = DnsServerOptions & { readonly workers: number; readonly cookieSecret: Uint8Array };

/** Rows told at once: what a thread takes over in under a millisecond. */
const PART_ROWS = 200;
/** More changes than this are told as a whole new table, so that each thread changes from the old state to the new at once. */
const MOST_CHANGES = 1000;
/** Half of the room for new objects of a thread that answers. */
const YOUNG_MIB = 4;
/** A thread that died is started again after this time. */
const REVIVE_MS = 1000;
/** Threads have let go of their ports by then. */
const STOP_MS = 950;

/** One thread, as this one sees it. */
interface Thread {
  readonly worker: Worker;
  readonly ended: Promise<unknown>;
  /** Resolves when the thread has taken a part of the names, or has ended. */
  tell(part: NamesPart): Promise<void>;
}

/**
 * A DNS server of `workers` threads that share nothing. Each has a UDP socket of its own on every address (SO_REUSEPORT), its own
 * copy of the names, and its own questions to upstreams. The first one also takes TCP, without SO_REUSEPORT, so that a second
 * process on the same port is noticed.
 *
 * Names are told by messages: small changes in one, which a thread takes over at once; large ones as a new table in parts, each
 * taken before the next is sent, beside the old one that goes on answering.
 */
export function dnsWorkers({ table, log, hooks = {}, workers, ...options }: WorkersOptions): DnsServer {
  // A range that cannot be read is an error here and now.
  for (const ranges of [options.allow, options.clientSubnetFrom ?? []]) allowList(ranges);
  firstMatch(options.views ?? []);
  const threads = new Map<number, Thread>();
  const starting = new Set<Thread>();
  let bound: readonly ListenAddress[] = [];
  let told: NameTable | undefined;
  let isTelling = false;
  let isDue = false;
  /** Whether all names must be told, whatever changed. */
  let isAnew = false;
  let isStopping = false;

  function onMessage(message: FromWorker): void {
    if (message.kind === "answers") for (const [event, count] of message.counts) hooks.onAnswer?.(event, count);
    else if (message.kind === "durations")
      for (const [path, seconds] of message.durations) hooks.onDuration?.(path, seconds);
    else if (message.kind === "query") hooks.onQuery?.(message.query);
    else if (message.kind === "wanted") hooks.onWanted?.(message.wanted);
    else if (message.kind === "held") {
      hooks.onHeld?.("answered", message.answered);
      hooks.onHeld?.("failed", message.failed);
    } else if (message.kind === "questions") hooks.onQuestions?.(message.questions);
    else if (message.kind === "exception") hooks.onException?.(message.error);
    else if (message.kind === "log") log.warn(message.fields, message.message);
  }

  /** Start a thread; the first one chooses the ports where any will do. */
  async function startThread(index: number): Promise<readonly ListenAddress[]> {
    const listen = index === 0 && bound.length === 0 ? options.listen : bound;
    const known = told ?? table();
    const setup: WorkerSetup = {
      options: { ...options, listen },
      tcp: index === 0,
      reusePort: workers > 1,
      namesFirst: known !== undefined,
    };
    // Read when a heap is made, so it is for the new thread only. --optimize-for-size would leave it 1 MiB, and let one answer in a hundred wait
    // for the garbage collector.
    setFlagsFromString(`--max-semi-space-size=${YOUNG_MIB}`);
    const worker = new Worker(new URL(`./worker${extname(import.meta.filename)}`, import.meta.url), {
      name: `dns-${index}`,
      workerData: setup,
    });
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    let onTaken = () => {};
    const listening = new Promise<readonly ListenAddress[]>((resolve, reject) => {
      worker.on("message", (message: FromWorker) => {
        if (message.kind === "listening") resolve(message.bound);
        else if (message.kind === "failed") reject(new Error(message.message, { cause: message.cause }));
        else if (message.kind === "taken") onTaken();
        else onMessage(message);
      });
      worker.once("error", (error) => {
        reject(error);
        log.warn({ error, thread: index }, "a thread of the DNS server failed");
      });
    });
    const post = (message: ToWorker) => worker.postMessage(message);
    const tell = (part: NamesPart) =>
      Promise.race([
        ended.then(() => undefined),
        new Promise<void>((resolve) => {
          onTaken = resolve;
          post(part);
        }),
      ]);
    const thread = { worker, ended, tell };
    starting.add(thread);
    try {
      if (known !== undefined) await Promise.race([tellAll([thread], known), listening]);
      const where = await listening;
      threads.set(index, thread);
      void ended.then(() => onEnd(index));
      // What changed meanwhile was not told to this thread.
      isAnew ||= told !== undefined && told !== known;
      told ??= known;
      refresh();
      return where;
    } finally {
      starting.delete(thread);
    }
  }

  /** A thread must not be missed for long: its socket's share of the clients would get no answers. */
  async function onEnd(index: number): Promise<void> {
    threads.delete(index);
    for (;;) {
      if (isStopping) return;
      log.warn({ thread: index }, "a thread of the DNS server ended; it is started again");
      await sleep(REVIVE_MS, undefined, { ref: false });
      if (isStopping) return;
      try {
        return void (await startThread(index));
      } catch (error) {
        log.warn({ error, thread: index }, "a thread of the DNS server cannot be started");
      }
    }
  }

  function refresh(): void {
    isDue = true;
    if (!isTelling) void tellUntilCurrent();
  }

  async function tellUntilCurrent(): Promise<void> {
    isTelling = true;
    while (isDue && !isStopping) {
      isDue = false;
      await tellNow().catch((error) => log.warn({ error }, "the names cannot be told to the DNS server's threads"));
    }
    isTelling = false;
  }

  async function tellNow(): Promise<void> {
    const now = table();
    if (now === undefined || (now === told && !isAnew)) return;
    const { put, gone } = nameChanges(told, now);
    const isSmall = told !== undefined && !isAnew && put.length + gone.length <= MOST_CHANGES;
    told = now;
    isAnew = false;
    const all = [...threads.values()];
    if (!isSmall) return tellAll(all, now);
    await Promise.all(all.map(({ tell }) => tell({ kind: "names", all: false, put, gone, serial: now.serial })));
  }

  async function tellAll(to: readonly Thread[], { names, serial }: NameTable): Promise<void> {
    let put: NameRow[] = [];
    const send = async (last: number | undefined) => {
      const part: NamesPart = { kind: "names", all: true, put, gone: [], serial: last };
      put = [];
      await Promise.all(to.map(({ tell }) => tell(part)));
    };
    for (const row of names.values()) {
      put.push(row);
      if (put.length === PART_ROWS) await send(undefined);
    }
    await send(serial);
  }

  async function stop(): Promise<void> {
    isStopping = true;
    const late = sleep(STOP_MS, undefined, { ref: false });
    const all = [...threads.values(), ...starting];
    for (const { worker } of all) worker.postMessage({ kind: "stop" } satisfies ToWorker);
    await Promise.race([Promise.all(all.map(({ ended }) => ended)), late]);
    await Promise.all(all.map(({ worker }) => worker.terminate()));
  }

  return {
    async start() {
      try {
        bound = await startThread(0);
        await Promise.all(Array.from({ length: workers - 1 }, (_, index) => startThread(index + 1)));
      } catch (error) {
        await stop();
        throw error;
      }
      return bound;
    },
    refresh,
    isCurrent: () => !isDue && !isTelling && threads.size === workers,
    stop,
  };
}
