/** Lets work be done in turns of the event loop, between which whatever else came in is done. */
export interface Turns {
  /** Whether one thing more may be done in this turn; if so it counts. */
  take(): boolean;
  /** Call `work` when it is its turn, after all that wait already. It takes what it does, and may come again. */
  later(work: () => void): void;
}

/** Turns of at most `perTurn` things. */
export function turns(perTurn: number): Turns {
  const queue: (() => void)[] = [];
  let left = perTurn;
  let isDue = false;

  function due(): void {
    if (!isDue) setImmediate(renew);
    isDue = true;
  }

  function renew(): void {
    isDue = false;
    left = perTurn;
    while (left > 0) {
      const next = queue.shift();
      if (next === undefined) return;
      next();
    }
    due();
  }

  return {
    take() {
      due();
      return left-- > 0;
    },
    later(work) {
      queue.push(work);
      due();
    },
  };
}
