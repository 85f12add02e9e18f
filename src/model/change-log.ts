import type { ObjectKey } from "./objects.ts";

/** Which objects changed lately, and a counter of it that can be waited for. */
export interface ChangeLog {
  /** Counts up with every change. */
  version(): number;
  /** Resolve when `version()` differs from `version`, or reject when `signal` aborts. */
  wait(version: number, signal: AbortSignal): Promise<void>;
  /** What changed since `version()` was `version`; `undefined` when that is too long ago to be known. */
  since(version: number): ReadonlySet<ObjectKey> | undefined;
  add(key: ObjectKey): void;
}

/** More changes at once are better looked at all together. */
const MOST_KEPT = 1024;

/** An empty log. It keeps the last 1,024 changes. */
export function changeLog(): ChangeLog {
  const kept: ObjectKey[] = [];
  const waiting = new Set<() => void>();
  let version = 0;
  return {
    version: () => version,
    since(known) {
      if (known < 0 || known > version || version - known > MOST_KEPT) return undefined;
      return new Set(Array.from({ length: version - known }, (_, at) => kept[(known + at) % MOST_KEPT] ?? ""));
    },
    add(key) {
      kept[version % MOST_KEPT] = key;
      version++;
      for (const wake of waiting) wake();
    },
    wait: (known, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        if (version !== known) return resolve();
        const settle = (end: () => void) => () => {
          waiting.delete(wake);
          signal.removeEventListener("abort", abort);
          end();
        };
        const wake = settle(resolve);
        const abort = settle(() => reject(signal.reason));
        signal.addEventListener("abort", abort);
        waiting.add(wake);
      }),
  };
}
