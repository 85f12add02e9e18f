import { setTimeout as delay } from "node:timers/promises";

/** Time as a schedule sees it; a clock that can only go forwards. */
export interface Clock {
  nowMs(): number;
  /** Rejects when `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** What is read again and again, and how. */
export interface VerifyingOptions {
  /** Each thing is read at least once in this time. */
  readonly everyMs: number;
  /** Read one thing, whatever is known of it. Says by its own means what came of it. */
  readonly read: (key: string, signal: AbortSignal) => Promise<unknown>;
  readonly clock?: Clock;
}

/**
 * Reads things one by one: at once where something says that one has changed, and all of them in turn, so that none is believed
 * unread for longer than `everyMs`. Of one thing there is never more than one read at a time; different ones do not wait for each other.
 */
export interface Verifying {
  /**
   * Read now; where a read is under way, once more after it, as that may say what was before. Requests that wait share one read.
   *
   * @throws What the read throws, or when `signal` aborts.
   */
  read(key: string, signal: AbortSignal): Promise<void>;
  /** It was read a moment ago, by whatever means: its turn is the last one. What was not known before is known from then on. */
  verified(key: string): void;
  /** It is gone. */
  forget(key: string): void;
  /** Those whose turn it is, the one that was read longest ago first; a steady rate since it was asked the last time. */
  due(): readonly string[];
  /** Read those that are due until `signal` aborts. Resolves when the last read has ended. */
  run(signal: AbortSignal): Promise<void>;
}

/** A round takes this part of the time that it may take: reads that are slow or fail are made up for. */
const PART = 0.8;
/** How often those that are due are looked for, and what a pause may let run up: never a burst. */
const STEP_MS = 50;
const MOST_STEP_MS = 1000;
/** Reads of {@link Verifying.run} at once. */
const AT_ONCE = 4;

const CLOCK: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, { signal, ref: false }),
};

/** A read that is under way. */
interface Begun {
  /** By a count of requests. */
  readonly at: number;
  /** Never rejects; whether it did what it had to. */
  readonly ended: Promise<boolean>;
}

interface State extends VerifyingOptions {
  readonly clock: Clock;
  /** Those that were read longest ago first. */
  readonly turns: Set<string>;
  readonly begun: Map<string, Begun>;
  requests: number;
  /** How many may be read, and since when that counts. */
  credit: number;
  creditedAtMs: number;
}

/** Nothing is to be read at first. */
export function verifying(options: VerifyingOptions): Verifying {
  const { clock = CLOCK } = options;
  const state: State = {
    ...options,
    ...{ clock, turns: new Set(), begun: new Map(), requests: 0, credit: 0, creditedAtMs: clock.nowMs() },
  };
  return {
    read: (key, signal) => read(state, key, signal),
    verified: (key) => toEnd(state, key),
    forget: (key) => void state.turns.delete(key),
    due: () => due(state, Number.POSITIVE_INFINITY),
    run: (signal) => run(state, signal),
  };
}

function toEnd({ turns }: State, key: string): void {
  turns.delete(key);
  turns.add(key);
}

async function read(state: State, key: string, signal: AbortSignal): Promise<void> {
  const requestedAt = ++state.requests;
  for (;;) {
    signal.throwIfAborted();
    const running = state.begun.get(key);
    if (running === undefined) return begin(state, key, signal);
    const isDone = await unlessAborted(running.ended, signal);
    if (isDone && running.at >= requestedAt) return;
  }
}

async function begin(state: State, key: string, signal: AbortSignal): Promise<void> {
  const { begun } = state;
  const { promise: ended, resolve } = Promise.withResolvers<boolean>();
  begun.set(key, { at: ++state.requests, ended });
  let isDone = false;
  try {
    await state.read(key, signal);
    isDone = true;
  } finally {
    begun.delete(key);
    resolve(isDone);
  }
}

async function unlessAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function due(state: State, mostMs: number): string[] {
  const { turns, begun, everyMs, clock } = state;
  const nowMs = clock.nowMs();
  const passedMs = Math.min(nowMs - state.creditedAtMs, mostMs);
  state.creditedAtMs = nowMs;
  state.credit = Math.min(turns.size, state.credit + (passedMs * turns.size) / (everyMs * PART));
  const keys: string[] = [];
  for (const key of turns) {
    if (state.credit < 1) break;
    state.credit--;
    keys.push(key);
  }
  for (const key of keys) toEnd(state, key);
  return keys.filter((key) => !begun.has(key));
}

async function run(state: State, signal: AbortSignal): Promise<void> {
  const { clock, turns, everyMs } = state;
  const running = new Set<Promise<void>>();
  while (!signal.aborted) {
    const eachMs = (everyMs * PART) / Math.max(1, turns.size);
    // Others may come while nothing is due.
    await clock.sleep(Math.min(Math.max(eachMs, STEP_MS), MOST_STEP_MS), signal).catch(() => {});
    for (const key of signal.aborted ? [] : due(state, MOST_STEP_MS)) {
      while (running.size >= AT_ONCE) await Promise.race(running);
      if (signal.aborted) break;
      const one = read(state, key, signal)
        .catch(() => {}) // whoever reads says what came of it
        .finally(() => running.delete(one));
      running.add(one);
    }
  }
  await Promise.all(running);
}
