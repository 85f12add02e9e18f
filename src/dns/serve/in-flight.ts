/** Counts work that has begun and not ended. */
export interface InFlight {
  begin(): void;
  end(): void;
  /** Count `work` until it settles. It must not reject. */
  track(work: Promise<unknown>): void;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

/** A counter of answers under way, so that a stop can wait for them. */
export function countInFlight(): InFlight {
  let count = 0;
  let waiting: (() => void)[] = [];

  function begin() {
    count++;
  }

  function end() {
    if (--count > 0) return;
    for (const resolve of waiting) resolve();
    waiting = [];
  }

  return {
    begin,
    end,
    track(work) {
      begin();
      void work.finally(end);
    },
    idle: () => (count === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}
