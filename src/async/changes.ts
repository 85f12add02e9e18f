/** A counter that can be waited for. Many changes between two looks count as one. */
export interface Changes {
  version(): number;
  notify(): void;
  /** Resolve when `version()` differs from `version`; reject when `signal` aborts. */
  wait(version: number, signal: AbortSignal): Promise<void>;
}

export function createChanges(): Changes {
  let current = 0;
  let waiting: (() => void)[] = [];
  return {
    version: () => current,
    notify() {
      current++;
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    wait(version, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        if (version !== current) return resolve();
        const wake = () => {
          signal.removeEventListener("abort", abort);
          resolve();
        };
        const abort = () => {
          waiting = waiting.filter((other) => other !== wake);
          reject(signal.reason);
        };
        signal.addEventListener("abort", abort, { once: true });
        waiting.push(wake);
      });
    },
  };
}
