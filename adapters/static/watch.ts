import { type FSWatcher, watch } from "node:fs";

/** An open watch on folders. */
export interface FolderWatch {
  /** Resolve at the first sign of a change since the watch was opened, at the latest after `timeoutMs`; reject when `signal` aborts. */
  sign(timeoutMs: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

/**
 * Watch folders, not the files in them: a rename in place of a file, or a swapped link, gives a new inode.
 *
 * A folder that cannot be watched (it is gone, or the system has no watches left) shows changes only at the timeout.
 */
export function watchFolders(folders: readonly string[]): FolderWatch {
  const signs = Promise.withResolvers<void>();
  const watchers = folders.flatMap((folder) => openWatch(folder, signs.resolve) ?? []);
  return {
    sign: (timeoutMs, signal) => within(signs.promise, timeoutMs, signal),
    close: () => {
      for (const watcher of watchers) watcher.close();
    },
  };
}

function openWatch(folder: string, onSign: () => void): FSWatcher | undefined {
  try {
    return watch(folder, onSign).on("error", onSign);
  } catch {
    return undefined;
  }
}

/** Resolve with `event` or after `timeoutMs`; reject when `signal` aborts. Leaves no timer and no listener. */
async function within(event: Promise<void>, timeoutMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, timeoutMs);
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  event.then(resolve);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
