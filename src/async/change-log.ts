import { createChanges } from "./changes.ts";

/** Which keys changed lately, and a counter of it that can be waited for. */
export interface ChangeLog<Key> {
  /** Counts up with every change. */
  version(): number;
  /** Resolve when `version()` differs from `version`, or reject when `signal` aborts. */
  wait(version: number, signal: AbortSignal): Promise<void>;
  /** What changed since `version()` was `version`; `undefined` when that is too long ago to be known. */
  since(version: number): ReadonlySet<Key> | undefined;
  add(key: Key): void;
}

/** More changes at once are better looked at all together. */
const MOST_KEPT = 1024;

/** An empty log. It keeps the last 1,024 changes. */
export function changeLog<Key>(): ChangeLog<Key> {
  const kept: Key[] = [];
  const { version, wait, notify } = createChanges();
  return {
    version,
    wait,
    since(known) {
      const now = version();
      if (known < 0 || known > now || now - known > MOST_KEPT) return undefined;
      return new Set(Array.from({ length: now - known }, (_, at) => kept[(known + at) % MOST_KEPT] as Key));
    },
    add(key) {
      kept[version() % MOST_KEPT] = key;
      notify();
    },
  };
}
