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
  /** Paths relative to the root. Never called again before its promise has ended; what changes meanwhile comes in the next call. */
  readonly onChange: (paths: readonly string[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
}

/** Writers touch a file several times in a row, in milliseconds. */
const DEBOUNCE_MS = 50;
/** The kernel may drop events, and network file systems send none: everything is read again this often, in milliseconds. */
const RECHECK_MS = 30_000;
/** The same while there is no folder to watch. */
const RECHECK_MISSING_MS = 1000;

/** What is watched, and what is to be told. */
interface State extends TreeWatchOptions {
  readonly watchers: Map<string, Watcher>;
  /** Paths that may have changed since the last call. */
  readonly pending: Set<string>;
  /** Why the last folder could not be watched: where the system has no watches left, each of them fails each time. */
  refusal: string | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Whether a call is under way. */
  isBusy: boolean;
  isClosed: boolean;
}

interface Watcher {
  readonly watcher: FSWatcher;
  /** Of the folder that it watches; another one may take its place under the same name. */
  readonly identity: string;
}

/**
 * Watch folders one by one: Node's own recursive watch on Linux opens a watch per file, of which a system may allow only 8,192,
 * and follows a file's inode, which a rename replaces.
 */
export function watchTree(options: TreeWatchOptions): TreeWatch {
  const state: State = {
    ...options,
    watchers: new Map(),
    pending: new Set(),
    refusal: undefined,
    timer: undefined,
    isBusy: false,
    isClosed: false,
  };
  schedule(state, RECHECK_MISSING_MS);
  return {
    add: (folder) => add(state, folder),
    close() {
      state.isClosed = true;
      clearTimeout(state.timer);
      for (const folder of [...state.watchers.keys()]) drop(state, folder);
    },
  };
}

function add(state: State, folder: string): void {
  const { root, watchers, onError } = state;
  if (state.isClosed) return;
  try {
    const identity = identityOf(join(root, folder));
    if (watchers.get(folder)?.identity === identity) return;
    watchers.get(folder)?.watcher.close();
    watchers.set(folder, { watcher: watcherOf(state, folder), identity });
    state.refusal = undefined;
  } catch (error) {
    drop(state, folder);
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return;
    if (code !== state.refusal) onError(error);
    state.refusal = code;
  }
}

function watcherOf(state: State, folder: string): FSWatcher {
  const path = join(state.root, folder);
  const watcher = watch(path, (event, name) => {
    if (event === "rename" && !existsSync(path)) drop(state, folder); // the folder itself went
    if (name === null) note(state, folder);
    else if (!name.startsWith(".")) note(state, folder === "" ? name : `${folder}/${name}`);
  });
  return watcher.on("error", () => drop(state, folder));
}

function drop({ watchers }: State, folder: string): void {
  watchers.get(folder)?.watcher.close();
  watchers.delete(folder);
}

function note(state: State, path: string): void {
  state.pending.add(path);
  schedule(state, DEBOUNCE_MS);
}

function schedule(state: State, afterMs: number): void {
  if (state.isClosed || state.isBusy) return;
  clearTimeout(state.timer);
  state.timer = setTimeout(() => void deliver(state), afterMs);
}

/** Tell what may have changed: the whole tree if nothing is known to have. */
async function deliver(state: State): Promise<void> {
  const { pending, watchers, onChange, onError } = state;
  const paths = pending.size === 0 ? [""] : [...pending].filter((path) => !hasAncestorIn(path, pending));
  pending.clear();
  state.isBusy = true;
  await onChange(paths).catch(onError);
  state.isBusy = false;
  schedule(state, pending.size > 0 ? DEBOUNCE_MS : watchers.has("") ? RECHECK_MS : RECHECK_MISSING_MS);
}

/** Inode numbers are used again, also at once. */
function identityOf(folder: string): string {
  const { ino, birthtimeMs } = statSync(folder);
  return `${ino}/${birthtimeMs}`;
}

function hasAncestorIn(path: string, folders: ReadonlySet<string>): boolean {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1))
    if (folders.has(path.slice(0, end))) return true;
  return path !== "" && folders.has("");
}
