import { existsSync, type FSWatcher, statSync, watch } from "node:fs";
import { join } from "node:path";

/** Tells what may have changed below a folder. */
export interface TreeWatch {
  /** Watch one more folder (relative to the root, the root is ""); one that was replaced is watched anew. */
  add(folder: string): void;
  close(): void;
}

/** Options of a watch. */
export interface TreeWatchOptions {
  readonly root: string;
  /** Paths relative to the root. Never called again before its promise has settled; what changes meanwhile comes in the next call. */
  readonly onChange: (paths: readonly string[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Writers touch a file several times in a row, in milliseconds. */
const DEBOUNCE_MS = 50;
/** The kernel may drop events, and network file systems send none: everything is looked at again this often, in milliseconds. */
const RECHECK_MS = 30_000;
/** The same while there is no folder to watch. */
const RECHECK_MISSING_MS = 1000;

/**
 * Watch folders one by one: Node's own recursive watch on Linux opens a watch per file, of which a system may allow only 8,192,
 * and follows a file's inode, which a rename replaces.
 */
export function watchTree({ root, onChange, onError }: TreeWatchOptions): TreeWatch {
  const watchers = new Map<string, { readonly watcher: FSWatcher; readonly identity: string }>();
  const pending = new Set<string>();
  /** Why the last folder could not be watched: where the system has no watches left, each of them fails each time. */
  let blindness: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let busy = false;
  let closed = false;

  function note(path: string): void {
    pending.add(path);
    schedule(DEBOUNCE_MS);
  }

  function schedule(afterMs: number): void {
    if (closed || busy) return;
    clearTimeout(timer);
    timer = setTimeout(() => void deliver(), afterMs);
  }

  async function deliver(): Promise<void> {
    const paths =
      pending.size === 0
        ? [""]
        : [...pending].filter((path) => ![...ancestorsOf(path)].some((folder) => pending.has(folder)));
    pending.clear();
    busy = true;
    await onChange(paths).catch(onError);
    busy = false;
    schedule(pending.size > 0 ? DEBOUNCE_MS : watchers.has("") ? RECHECK_MS : RECHECK_MISSING_MS);
  }

  function add(folder: string): void {
    if (closed) return;
    try {
      const identity = identityOf(join(root, folder));
      if (watchers.get(folder)?.identity === identity) return;
      watchers.get(folder)?.watcher.close();
      const watcher = watch(join(root, folder), (event, name) => {
        if (event === "rename" && !existsSync(join(root, folder))) drop(folder); // the folder itself went
        if (name === null) note(folder);
        else if (!name.startsWith(".")) note(folder === "" ? name : `${folder}/${name}`);
      });
      watcher.on("error", () => drop(folder));
      watchers.set(folder, { watcher, identity });
      blindness = undefined;
    } catch (error) {
      drop(folder);
      const { code } = error as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== blindness) onError(error);
      if (code !== "ENOENT") blindness = code;
    }
  }

  function drop(folder: string): void {
    watchers.get(folder)?.watcher.close();
    watchers.delete(folder);
  }

  schedule(RECHECK_MISSING_MS);
  return {
    add,
    close: () => {
      closed = true;
      clearTimeout(timer);
      for (const folder of [...watchers.keys()]) drop(folder);
    },
  };
}

/** Inode numbers are used again, also at once. */
function identityOf(folder: string): string {
  const { ino, birthtimeMs } = statSync(folder);
  return `${ino}/${birthtimeMs}`;
}

function* ancestorsOf(path: string): Generator<string> {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) yield path.slice(0, end);
  if (path !== "") yield "";
}
