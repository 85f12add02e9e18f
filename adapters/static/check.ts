import { rfc3339 } from "../../src/model/rfc3339.ts";
import type { CheckMetrics } from "./metrics.ts";
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

/** How checks are run, and who is told. */
export interface CheckerOptions {
  /** Probes in flight at once. */
  readonly maxProbes: number;
  /** Told when a target goes out (with why) or comes back in. */
  readonly onTurn: (target: Target, down: string | undefined) => void;
  readonly metrics: CheckMetrics;
}

/** What is known of one target. */
interface State {
  readonly target: Target;
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
export function checker({ maxProbes, onTurn, metrics }: CheckerOptions): Checker {
  let states = new Map<string, State>();
  let generation = 0;
  let downs = 0;
  let running: { restart(): void; turned(): void } | undefined;

  function adopt(targets: readonly Target[]) {
    states = new Map(targets.map((target) => [target.id, states.get(target.id) ?? newState(target)]));
    downs = [...states.values()].filter(({ down }) => down !== undefined).length;
    metrics.down(downs);
    running?.restart();
  }

  function conclude(state: State, failure: string | undefined) {
    metrics.probed(failure === undefined);
    if (!turn(state, failure)) return;
    generation++;
    onTurn(state.target, state.down);
    downs += state.down === undefined ? -1 : 1;
    metrics.down(downs);
    running?.turned();
  }

  async function run(from: number, signal: AbortSignal) {
    signal.throwIfAborted();
    const end = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    let gathering: NodeJS.Timeout | undefined;
    const turned = () => {
      gathering ??= setTimeout(resolve, GATHER_MS);
    };
    const flights = fly({ states: () => states, maxProbes, conclude, signal: end.signal });
    running = { restart: flights.restart, turned };
    flights.restart();
    if (generation !== from) resolve();
    try {
      await promise;
    } finally {
      running = undefined;
      clearTimeout(gathering);
      signal.removeEventListener("abort", onAbort);
      end.abort();
      flights.stop();
      await flights.landed();
    }
  }

  return { adopt, run, down: (id) => states.get(id)?.down, generation: () => generation };
}

interface FlightOptions {
  readonly states: () => ReadonlyMap<string, State>;
  readonly maxProbes: number;
  readonly conclude: (state: State, failure: string | undefined) => void;
  readonly signal: AbortSignal;
}

/** Start each probe when it is due and one of `maxProbes` places is free. */
function fly({ states, maxProbes, conclude, signal }: FlightOptions) {
  const timers = new Set<NodeJS.Timeout>();
  const flying = new Map<State, Promise<void>>();
  let due: State[] = [];

  function schedule(state: State) {
    const timer = setTimeout(
      () => {
        timers.delete(timer);
        due.push(state);
        launch();
      },
      Math.max(0, state.dueMs - performance.now()),
    );
    timers.add(timer);
  }

  function launch() {
    while (flying.size < maxProbes && due.length > 0) {
      const state = due.shift();
      if (state !== undefined && known(state)) flying.set(state, flight(state));
    }
  }

  async function flight(state: State) {
    const dueMs = performance.now() + state.target.check.interval;
    const failure = await probe(state.target, signal);
    flying.delete(state);
    if (signal.aborted || !known(state)) return; // an aborted probe says nothing and stays due
    state.dueMs = dueMs;
    conclude(state, failure);
    schedule(state);
    launch();
  }

  const known = (state: State) => states().get(state.target.id) === state;

  function stop() {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
    due = [];
  }

  function restart() {
    stop();
    for (const state of states().values()) if (!flying.has(state)) schedule(state);
  }

  return { restart, stop, landed: () => Promise.all(flying.values()) };
}

function newState(target: Target): State {
  const dueMs = performance.now() + Math.random() * target.check.interval;
  return { target, down: undefined, against: 0, againstSince: new Date(0), dueMs };
}

/** Count a probe; true when the target goes out or comes back in with it. The reason stays as it was when the target went out. */
function turn(state: State, failure: string | undefined): boolean {
  const { rise, fall } = state.target.check;
  if ((failure === undefined) === (state.down === undefined)) {
    state.against = 0;
    return false;
  }
  if (state.against++ === 0) state.againstSince = new Date();
  if (state.against < (failure === undefined ? rise : fall)) return false;
  const since = rfc3339(state.againstSince.getTime());
  state.down =
    failure === undefined
      ? undefined
      : `unhealthy: ${failure}, ${fall} ${fall === 1 ? "probe" : "probes"} since ${since}`;
  state.against = 0;
  return true;
}
