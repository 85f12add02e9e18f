import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { each } from "../async/each.ts";
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

/** A file as it was when it was last read. */
interface Seen {
  readonly stat: string;
  /** Whether a later change could not have had the same time stamp. */
  readonly isFinal: boolean;
}

/** Files and folders read at once. */
export const IN_FLIGHT = 32;
/** More than the coarsest clock tick by which file systems stamp. */
const TIMESTAMP_MS = 2000;
const MAX_BYTES = 16 * 1024 * 1024;

/** Reads files and folders below a root into the state. */
export interface TreeReader {
  /**
   * Bring the state in step with what stands at `path` (relative to the root, with `/`; the root is ""): a file, a folder with all
   * below, or nothing.
   *
   * @throws When a folder cannot be read.
   */
  visit(path: string): Promise<void>;
}

/** What has been read of a tree. */
interface Reading extends TreeOptions {
  /** By path; `readPath` changes it. */
  readonly seen: Map<string, Seen>;
  /** Problems by path that were logged; `warnOnce` changes it. */
  readonly warned: Map<string, string>;
}

/** Create a reader. Nothing is read yet. */
export function treeReader(options: TreeOptions): TreeReader {
  const reading: Reading = { ...options, seen: new Map(), warned: new Map() };
  return { visit: (path) => visit(reading, path) };
}

async function visit(reading: Reading, path: string): Promise<void> {
  const { root, state } = reading;
  const found = await (path === "" ? stat(root) : lstat(join(root, path))).catch(missing); // only the root may be a link
  if (path === "" && found?.isDirectory() === false)
    throw new Error(`Cannot use "${root}" as a target: it is not a folder`);
  if (found?.isDirectory() === true) return visitFolder(reading, path);
  const below = [...state.files.keys()].filter((file) => isBelow(file, path));
  await each(below, IN_FLIGHT, (file) => visitFile(reading, file));
  if (isYaml(path)) await visitFile(reading, path);
}

async function visitFolder(reading: Reading, folder: string): Promise<void> {
  const { root, state, onFolder } = reading;
  onFolder?.(folder);
  const entries = await list(root, folder);
  const shown = entries.filter(({ name }) => !name.startsWith("."));
  const pathOf = ({ name }: Dirent) => joinPath(folder, name);
  const present = new Set(shown.map(pathOf));
  const files = shown.filter((entry) => !entry.isDirectory() && isYaml(entry.name)).map(pathOf);
  const vanished = [...state.files.keys()].filter(
    (file) => isBelow(file, folder) && !present.has(childOf(folder, file)),
  );
  const leftovers = entries.filter(({ name }) => isLeftover(name));
  await Promise.all(leftovers.map(({ name }) => unlink(join(root, folder, name)).catch(() => undefined)));
  await each([...files, ...vanished], IN_FLIGHT, (file) => visitFile(reading, file, { finalOnly: true }));
  for (const entry of shown) if (entry.isDirectory()) await visitFolder(reading, pathOf(entry));
}

async function list(root: string, folder: string): Promise<Dirent[]> {
  try {
    return await readdir(join(root, folder), { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    // lost+found and the like are nobody's namespace; but a namespace that cannot be read must not look empty
    if (folder !== "" && !/^[a-z0-9][-a-z0-9]*$/.test(folder)) return [];
    throw new Error(`Cannot read folder "${join(root, folder)}"`, { cause: error });
  }
}

async function visitFile(reading: Reading, path: string, { finalOnly = false } = {}): Promise<void> {
  const { state } = reading;
  for (;;) {
    const before = state.files.get(path);
    const file = await readPath(reading, path, before, finalOnly);
    if (state.files.get(path) !== before) continue; // a write of ours went on meanwhile: what was read may be older
    warnOnce(reading, path, file?.problem);
    return state.put(path, file);
  }
}

function warnOnce({ root, log, warned }: Reading, path: string, problem: string | undefined): void {
  if (problem !== undefined && warned.get(path) !== problem)
    log?.warn({ file: join(root, path), problem }, "file cannot be read as Kubernetes YAML and is left alone");
  if (problem === undefined) warned.delete(path);
  else warned.set(path, problem);
}

/** @param finalOnly whether a file is read again whose stamp a later change could have too */
async function readPath(
  { root, ownership, seen }: Reading,
  path: string,
  before: DirectoryFile | undefined,
  finalOnly: boolean,
): Promise<DirectoryFile | undefined> {
  const absolute = join(root, path);
  try {
    const found = await lstat(absolute);
    if (!found.isFile()) return unreadableFile(path, "", "it is not a regular file", before);
    if (found.size > MAX_BYTES) return unreadableFile(path, "", "it is larger than 16 MiB", before);
    const last = seen.get(path);
    const now = {
      stat: `${found.ino}/${found.size}/${found.mtimeMs}/${found.ctimeMs}`,
      isFinal: Date.now() - found.ctimeMs > TIMESTAMP_MS,
    };
    if (before !== undefined && last?.stat === now.stat && (last.isFinal || !finalOnly)) return before; // an event of our own write
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
