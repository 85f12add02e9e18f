import { AsyncLocalStorage } from "node:async_hooks";
import { syncBuiltinESMExports } from "node:module";
import timersPromises from "node:timers/promises";

/** One process of the simulated world. Timers that it sets are its own: they stop with it. */
export interface Process {
  readonly name: string;
  state: "running" | "stopped" | "dead";
  /** How far its wall clock is off. */
  wallOffsetMs: number;
}

/** Time that passes only when it is told to, for everything in this process that uses timers or asks for the time. */
export interface Clock {
  /** Milliseconds since the beginning; never goes back. */
  nowMs(): number;
  /** Milliseconds since the epoch, by a clock that is right. */
  wallMs(): number;
  /** Run `task` as `process`: timers and promises that it makes belong to it. */
  runAs<T>(process: Process, task: () => T): T;
  /** Call `task` later: as a timer of `process`, or of nobody, which nothing stops. What it gives calls that off. */
  after(ms: number, process: Process | undefined, task: () => void): () => void;
  /** Let time pass. What timers throw, if they belong to nobody, is thrown here. */
  advance(ms: number): Promise<void>;
  /** SIGSTOP: none of its timers fire. */
  stop(process: Process): void;
  /** SIGCONT: what was due meanwhile fires now, in order. */
  resume(process: Process): void;
  /** SIGKILL. */
  kill(process: Process): void;
  /** Give real time back. */
  restore(): void;
}

interface Timer {
  dueMs: number;
  readonly order: number;
  readonly process: Process | undefined;
  readonly task: () => void;
  isPending: boolean;
}

/** More events in one go mean that something goes round in circles without waiting. */
const MOST_EVENTS = 200_000;
const EPOCH_MS = Date.parse("2026-03-01T12:00:00Z");

/** Take over timers, `performance.now`, `Date` and `Math.random` of this process, until `restore`. */
export function virtualClock(random: () => number): Clock {
  const current = new AsyncLocalStorage<Process>();
  /** Ways into each process: cheaper than a new context for each timer. */
  const entrances = new Map<Process, ReturnType<typeof AsyncLocalStorage.snapshot>>();
  const queue: Timer[] = [];
  const parked = new Map<Process, Timer[]>();
  let nowMs = 0;
  let orders = 0;
  const { setImmediate: turnOfLoop } = globalThis;
  const settle = () => new Promise((resolve) => turnOfLoop(resolve));
  const restore = takeOver({
    schedule,
    cancel,
    nowMs: () => nowMs,
    wallMs: () => EPOCH_MS + nowMs + (current.getStore()?.wallOffsetMs ?? 0),
    random,
    bind: () => current.getStore(),
  });

  function schedule(ms: number, process: Process | undefined, task: () => void): Timer {
    const timer = { dueMs: nowMs + Math.max(1, ms), order: ++orders, process, task, isPending: true };
    insert(timer);
    return timer;
  }

  function insert(timer: Timer): void {
    let [low, high] = [0, queue.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isBefore(queue[middle] as Timer, timer)) low = middle + 1;
      else high = middle;
    }
    queue.splice(low, 0, timer);
  }

  function fire(timer: Timer): void {
    if (!timer.isPending || timer.process?.state === "dead") return;
    if (timer.process?.state === "stopped") {
      parked.set(timer.process, [...(parked.get(timer.process) ?? []), timer]);
      return;
    }
    timer.isPending = false;
    if (timer.process === undefined) timer.task();
    else entranceOf(timer.process)(timer.task);
  }

  function entranceOf(process: Process): ReturnType<typeof AsyncLocalStorage.snapshot> {
    const known = entrances.get(process) ?? current.run(process, () => AsyncLocalStorage.snapshot());
    entrances.set(process, known);
    return known;
  }

  return {
    nowMs: () => nowMs,
    wallMs: () => EPOCH_MS + nowMs,
    runAs: (process, task) => entranceOf(process)(task),
    after(ms, process, task) {
      const timer = schedule(ms, process, task);
      return () => cancel(timer);
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      for (let events = 0; ; events++) {
        if (events > MOST_EVENTS) throw new Error("something goes round in circles without waiting");
        await settle();
        const [next] = queue;
        if (next === undefined || next.dueMs > endMs) break;
        queue.shift();
        nowMs = Math.max(nowMs, next.dueMs);
        fire(next);
      }
      nowMs = endMs;
    },
    stop(process) {
      process.state = "stopped";
    },
    resume(process) {
      process.state = "running";
      for (const timer of parked.get(process) ?? []) insert(timer);
      parked.delete(process);
    },
    kill(process) {
      process.state = "dead";
      parked.delete(process);
      entrances.delete(process);
    },
    restore,
  };
}

function cancel(timer: Timer): void {
  timer.isPending = false;
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs;
}

interface Takeover {
  schedule(ms: number, process: Process | undefined, task: () => void): Timer;
  cancel(timer: Timer): void;
  nowMs(): number;
  wallMs(): number;
  random(): number;
  bind(): Process | undefined;
}

/** Put virtual time in the place of real time; gives the way back. */
function takeOver(time: Takeover): () => void {
  const real = {
    Date: globalThis.Date,
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    delay: timersPromises.setTimeout,
    random: Math.random,
  };
  const handles = new WeakMap<object, () => void>();

  function virtualTimeout(task: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): object {
    const process = time.bind();
    let timer = time.schedule(ms, process, () => task(...args));
    const handle = {
      ref: () => handle,
      unref: () => handle,
      hasRef: () => true,
      refresh() {
        time.cancel(timer);
        timer = time.schedule(ms, process, () => task(...args));
        return handle;
      },
    };
    handles.set(handle, () => time.cancel(timer));
    return handle;
  }

  function virtualDelay(ms = 0, value?: unknown, { signal }: { signal?: AbortSignal } = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const fail = () => reject(Object.assign(new Error("The operation was aborted"), { name: "AbortError" }));
      if (signal?.aborted) return fail();
      const stop = () => {
        time.cancel(timer);
        fail();
      };
      const timer = time.schedule(ms, time.bind(), () => {
        signal?.removeEventListener("abort", stop);
        resolve(value);
      });
      signal?.addEventListener("abort", stop, { once: true });
    });
  }

  const VirtualDate = new Proxy(real.Date, {
    construct: (target, args) => new target(...((args.length === 0 ? [time.wallMs()] : args) as [number])),
    get: (target, name, receiver) => (name === "now" ? time.wallMs : Reflect.get(target, name, receiver)),
  });
  Object.assign(globalThis, {
    Date: VirtualDate,
    setTimeout: virtualTimeout,
    clearTimeout: (handle: object | undefined) => {
      if (handle !== undefined && handle !== null) handles.get(handle)?.();
    },
  });
  Object.defineProperty(performance, "now", { value: time.nowMs, configurable: true });
  Math.random = time.random;
  timersPromises.setTimeout = virtualDelay as typeof timersPromises.setTimeout;
  syncBuiltinESMExports();

  return () => {
    Object.assign(globalThis, { Date: real.Date, setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
    Reflect.deleteProperty(performance, "now");
    Math.random = real.random;
    timersPromises.setTimeout = real.delay;
    syncBuiltinESMExports();
  };
}
