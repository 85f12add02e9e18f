import { type Shares, shares } from "../share/shares.ts";

/** Questions under way to upstreams, and who waits for them. */
export interface UnderWay<Result> {
  /**
   * Wait for what `ask` finds out, which is not called where the same key is under way. Undefined for a client that has lost its place
   * to others or to its own later questions, or has only young questions in its share; `ask` is aborted when nobody waits any more.
   */
  wait(key: string, client: string, ask: Ask<Result>): Promise<Result | undefined>;
  /** Ask, unless it is under way, although nobody waits. */
  begin(key: string, ask: Ask<Result>): void;
}

/** Finds something out. It must not reject, and ends soon after `signal` aborts. */
export type Ask<Result> = (signal: AbortSignal) => Promise<Result>;

/** How many there may be at a time; of both, clients have shares. */
export interface UnderWayLimits {
  readonly maxQuestions: number;
  readonly maxWaiting: number;
  /** Told of a client that loses a place. */
  readonly onDropped: (client: string) => void;
}

interface Question<Result> {
  readonly key: string;
  readonly startedMs: number;
  readonly stop: AbortController;
  readonly waiters: Set<Waiter<Result>>;
  /** The client in whose share it is: the first of those that wait, or nobody. */
  payer: string;
}

interface Waiter<Result> {
  readonly client: string;
  readonly of: Question<Result>;
  give(result: Result | undefined): void;
}

interface State<Result> {
  readonly questions: Map<string, Question<Result>>;
  readonly places: Shares<Question<Result>>;
  readonly waiting: Shares<Waiter<Result>>;
  readonly onDropped: (client: string) => void;
}

const NOBODY = "";
/** A client's question is not given up for another of its own before this time: 512 places are 2,000 questions a second, not a flood. */
const LEAST_MS = 250;

/** A place lost is that of a client's oldest question, which it may have given up; who else waits for the same goes on waiting. */
export function underWay<Result>({ maxQuestions, maxWaiting, onDropped }: UnderWayLimits): UnderWay<Result> {
  const state: State<Result> = {
    questions: new Map(),
    places: shares({ most: maxQuestions, drop: (question) => dropQuestion(state, question) }),
    waiting: shares({ most: maxWaiting, drop: (waiter) => dropWaiter(state, waiter) }),
    onDropped,
  };
  return {
    wait(key, client, ask) {
      const { promise, resolve } = Promise.withResolvers<Result | undefined>();
      const known = state.questions.get(key);
      if (known === undefined && isTooQuick(state, client)) return Promise.resolve(undefined);
      const question = known ?? begin(state, key, client, ask);
      const waiter = { client, of: question, give: resolve };
      question.waiters.add(waiter);
      state.waiting.add(client, waiter);
      if (known === undefined && state.questions.get(key) === question) state.places.add(client, question);
      return promise;
    },
    begin(key, ask) {
      if (!state.questions.has(key)) state.places.add(NOBODY, begin(state, key, NOBODY, ask));
    },
  };
}

function begin<Result>(state: State<Result>, key: string, payer: string, ask: Ask<Result>): Question<Result> {
  const question: Question<Result> = {
    ...{ key, payer, startedMs: performance.now() },
    ...{ stop: new AbortController(), waiters: new Set() },
  };
  state.questions.set(key, question);
  void ask(question.stop.signal).then((result) => end(state, question, result));
  return question;
}

function isTooQuick<Result>({ places, onDropped }: State<Result>, client: string): boolean {
  const victim = places.victim(client);
  if (victim?.payer !== client || performance.now() - victim.startedMs >= LEAST_MS) return false;
  onDropped(client);
  return true;
}

function end<Result>(state: State<Result>, question: Question<Result>, result: Result): void {
  remove(state, question);
  for (const waiter of question.waiters) {
    state.waiting.remove(waiter.client, waiter);
    waiter.give(result);
  }
}

function remove<Result>({ questions, places }: State<Result>, question: Question<Result>): void {
  if (questions.get(question.key) === question) questions.delete(question.key);
  places.remove(question.payer, question);
}

function dropWaiter<Result>(state: State<Result>, waiter: Waiter<Result>): undefined {
  const { client, of } = waiter;
  state.onDropped(client);
  of.waiters.delete(waiter);
  waiter.give(undefined);
  if (of.waiters.size > 0) return;
  remove(state, of);
  of.stop.abort();
}

/** Who else waits for it has it from now on. */
function dropQuestion<Result>(state: State<Result>, question: Question<Result>): string | undefined {
  const { waiters, payer, stop } = question;
  if (payer !== NOBODY) state.onDropped(payer);
  for (const waiter of waiters) {
    if (waiter.client !== payer) continue;
    state.waiting.remove(payer, waiter);
    waiters.delete(waiter);
    waiter.give(undefined);
  }
  const [heir] = waiters;
  if (heir === undefined) {
    remove(state, question);
    stop.abort();
    return undefined;
  }
  question.payer = heir.client;
  return heir.client;
}
