import { probe, type Target } from "./probe.ts";

/** Probes in flight, their results, and who is out because of them. */
export interface Checker {
  /** Probe these from now on; what is known of targets that stay is kept. A new target counts as healthy. */
  adopt(targets: readonly Target[]): void;
  /** Why a target is out; `undefined` while it is in. */
  down(id: string): string | undefined;
  /** Counts up when a target goes out or comes back in. */
  generation(): number;
  /** Probe until `generation()` differs from `generation`, or reject when `signal` aborts. Leaves no timer and no socket. */
  run(generation: number, signal: AbortSignal): Promise<void>;
}

export interface CheckerOptions {
  /** Probes in flight at once. */
  readonly maxProbes: number;
  /** Told when a target goes out (with why) or comes back in. */
  readonly onChange: (target: Target, down: string | undefined) => void;
  /** Told of each probe. */
  readonly onProbe: (passed: boolean) => void;
}

/** What is known of one target. */
interface State {
  target: Target;
  down: string | undefined;
  /** Probes in a row that speak against what it is. */
  against: number;
  againstSince: Date;
  /** By performance.now(). */
  dueMs: number;
}

/** Changes that come within this of the first are told together. */
const GATHER_MS = 50;

/** Run health checks, each target at its interval from a random start on. */
export function checker({ maxProbes, onChange, onProbe }: CheckerOptions): Checker {
  let states = new Map<string, State>();
  let generation = 0;
  let wake = () => {};

  function adopt(targets: readonly Target[]) {
    states = new Map(targets.map((target) => [target.id, keptOrNew(target, states.get(target.id))]));
    wake();
  }

  function conclude(state: State, failure: string | undefined) {
    onProbe(failure === undefined);
    if (!turned(state, failure)) return;
    generation++;
    onChange(state.target, state.down);
    wake();
  }

  async function run(from: number, signal: AbortSignal) {
    const stop = new AbortController();
    const flying = new Map<State, Promise<void>>();

    function start(state: State) {
      state.dueMs = performance.now() + state.target.check.interval;
      const flight = probe(state.target, stop.signal).then((failure) => {
        flying.delete(state);
        if (stop.signal.aborted) state.dueMs = 0;
        else if (states.get(state.target.id) === state) conclude(state, failure);
        wake();
      });
      flying.set(state, flight);
    }

    try {
      while (generation === from) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const nextMs = launch(states, flying, maxProbes, start);
        await pause(promise, nextMs, signal);
      }
      await pause(undefined, GATHER_MS, signal);
    } finally {
      wake = () => {};
      stop.abort();
      await Promise.all(flying.values());
    }
  }

  return { adopt, run, down: (id) => states.get(id)?.down, generation: () => generation };
}
