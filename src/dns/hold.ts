import type { Answer, Held } from "./answer.ts";

/** Longest time that a question is held back: less than what stub resolvers wait before they ask again (5 s). */
const MAX_HOLD_MS = 2000;
/** How often a held question is looked up again: a new table may settle a name sooner than the old one said. */
const LOOK_AGAIN_MS = 100;

type Settled = Exclude<Answer, { readonly kind: "held" }>;

/** Questions whose answer must wait. */
export interface Hold {
  /**
   * Look up again until the answer is no longer held. Undefined after 2 s, after `release`, and at once if `limit` questions
   * are held already: then SERVFAIL is due, which no one caches as a denial (RFC 2308 §7.1).
   */
  wait(first: Held, lookUp: () => Answer): Promise<Settled | undefined>;
  /** Give up on all held questions. */
  release(): void;
}

/** Hold back at most `limit` questions at a time. */
export function holdQuestions({ limit }: { readonly limit: number }): Hold {
  const wakers = new Set<() => void>();
  let held = 0;
  let released = false;

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        wakers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      wakers.add(wake);
    });
  }

  async function untilSettled(first: Held, lookUp: () => Answer): Promise<Settled | undefined> {
    const deadlineMs = performance.now() + MAX_HOLD_MS;
    for (let current: Answer = first; ; current = lookUp()) {
      if (current.kind !== "held") return current;
      const leftMs = deadlineMs - performance.now();
      if (released || leftMs <= 0) return undefined;
      await sleep(Math.max(1, Math.min(leftMs, LOOK_AGAIN_MS, current.untilMs - Date.now())));
    }
  }

  return {
    async wait(first, lookUp) {
      if (released || held >= limit) return undefined;
      held++;
      try {
        return await untilSettled(first, lookUp);
      } finally {
        held--;
      }
    },
    release() {
      released = true;
      for (const wake of [...wakers]) wake();
    },
  };
}
