import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../log.ts";
import { isLeftover } from "./atomic.ts";
import { contentHash, type DirectoryFile, type Ownership, readFileContent, unreadableFile } from "./file.ts";
import type { DirectoryState } from "./state.ts";

/** What a tree is read into, and by which rules. */
export interface TreeOptions {
  /** Absolute. */
  readonly root: string;
  readonly state: DirectoryState;
  readonly ownership: Ownership;
  readonly log: Pick<Log, "warn"> | undefined;
  /** Told of each folder before its list is read, so that a watch on it misses nothing. */
  readonly onFolder?: (folder: string) => void;
}

interface Seen {
  readonly stat: string;
  /** Whether a later change could not have had the same time stamp. */
  readonly settled: boolean;
}

const IN_FLIGHT = 32;
/** More than the coarsest clock tick by which file systems stamp. */
const TIMESTAMP_MS = 2000;
const MAX_BYTES = 16 * 1024 * 1024;

/** Reads files and folders below a root into the state. Paths are relative to the root, with `/`; the root is "". */
export function treeReader({ root, state, ownership, log, onFolder }: TreeOptions) {
  const warned = new Map<string, string>();
  const seen = new Map<string, Seen>();

  /** Bring the state in step with what stands at `path`: a file, a folder with all below, or nothing. */
  async function visit(path: string): Promise<void> {
    const found = await (path === "" ? stat(root) : lstat(join(root, path))).catch(missing); // only the root may be a link
    if (path === "" && found?.isDirectory() === false)
      throw new Error(`Cannot use "${root}" as a target: it is not a folder`);
    if (found?.isDirectory() === true) return visitFolder(path);
    await eachOf(
      [...state.files.keys()].filter((file) => isBelow(file, path)),
      (file) => visitFile(file),
    );
    if (isYaml(path)) await visitFile(path);
  }

  async function visitFolder(folder: string): Promise<void> {
    onFolder?.(folder);
    const entries = await list(folder);
    const shown = entries.filter(({ name }) => !name.startsWith("."));
    const pathOf = ({ name }: Dirent) => joinPath(folder, name);
    const present = new Set(shown.map(pathOf));
    const files = shown.filter((entry) => !entry.isDirectory() && isYaml(entry.name)).map(pathOf);
    const vanished = [...state.files.keys()].filter(
      (file) => isBelow(file, folder) && !present.has(childOf(folder, file)),
    );
    await Promise.all(
      entries
        .filter(({ name }) => isLeftover(name))
        .map(({ name }) => unlink(join(root, folder, name)).catch(() => undefined)),
    );
    await eachOf([...files, ...vanished], (file) => visitFile(file, { settledOnly: true }));
    for (const entry of shown) if (entry.isDirectory()) await visitFolder(pathOf(entry));
  }

  async function list(folder: string): Promise<Dirent[]> {
    try {
      return await readdir(join(root, folder), { withFileTypes: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      // lost+found and the like are nobody's namespace; but a namespace that cannot be read must not look empty
      if (folder !== "" && !/^[a-z0-9][-a-z0-9]*$/.test(folder)) return [];
      throw new Error(`Cannot read folder "${join(root, folder)}"`, { cause: error });
    }
  }

  async function visitFile(path: string, { settledOnly = false } = {}): Promise<void> {
    for (;;) {
      const before = state.files.get(path);
      const file = await readPath(path, before, settledOnly);
      if (state.files.get(path) !== before) continue; // a write of ours went on meanwhile: what was read may be older
      warnOnce(path, file?.problem);
      return state.put(path, file);
    }
  }

  function warnOnce(path: string, problem: string | undefined): void {
    if (problem !== undefined && warned.get(path) !== problem)
      log?.warn({ file: join(root, path), problem }, "file cannot be read as Kubernetes YAML and is left alone");
    if (problem === undefined) warned.delete(path);
    else warned.set(path, problem);
  }

  async function readPath(
    path: string,
    before: DirectoryFile | undefined,
    settledOnly: boolean,
  ): Promise<DirectoryFile | undefined> {
    const absolute = join(root, path);
    try {
      const found = await lstat(absolute);
      if (!found.isFile()) return unreadableFile(path, "", "it is not a regular file", before);
      if (found.size > MAX_BYTES) return unreadableFile(path, "", "it is larger than 16 MiB", before);
      const last = seen.get(path);
      const now = {
        stat: `${found.ino}/${found.size}/${found.mtimeMs}/${found.ctimeMs}`,
        settled: Date.now() - found.ctimeMs > TIMESTAMP_MS,
      };
      if (before !== undefined && last?.stat === now.stat && (last.settled || !settledOnly)) return before; // an event of our own write
      const content = await readFile(absolute);
      seen.set(path, now);
      return before?.problem === undefined && before?.hash === contentHash(content)
        ? before
        : readFileContent(path, content, found.mtimeMs, ownership, before);
    } catch (error) {
      seen.delete(path);
      const { code, message } = error as NodeJS.ErrnoException;
      return code === "ENOENT" || code === "ENOTDIR" ? undefined : unreadableFile(path, "", message, before);
    }
  }
  return { visit };
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
}

function isYaml(path: string): boolean {
  return /\.ya?ml$/.test(path) && !/(^|\/)\./.test(path);
}

function joinPath(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

function isBelow(path: string, folder: string): boolean {
  return folder === "" || path.startsWith(`${folder}/`);
}

/** The direct child of `folder` on the way to `path`. */
function childOf(folder: string, path: string): string {
  const rest = path.slice(folder === "" ? 0 : folder.length + 1).split("/")[0] ?? "";
  return joinPath(folder, rest);
}

/** Run `work` on each item, a fixed number at a time. */
export async function eachOf<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
  inFlight = IN_FLIGHT,
): Promise<void> {
  let next = 0;
  async function lane(): Promise<void> {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, items.length) }, lane));
}
