import { chmod, lstat, mkdtemp, readdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Where locks stand. */
export interface LockFolders {
  /** This user's, in a fixed order; seldom more than one. */
  readonly own: readonly string[];
  /** Of others who may write to the target: root, and who owns it. */
  readonly others: readonly string[];
}

const PREFIX = "x2istio-locks-";

/**
 * The folders in the system's temporary folder in which those keep locks who may write to `target`. Everyone can make a file
 * there, so a folder counts by who owns it, and only if nobody else can write to it; its name is a random one, so that
 * nobody can take it in advance.
 *
 * @param target absolute; need not exist
 * @throws When there is none of this user, and none can be made.
 */
export async function lockFolders(target: string): Promise<LockFolders> {
  const self = process.geteuid?.() ?? 0;
  const trusted = new Set([self, 0, await ownerOf(target)]);
  const first = await foldersOf(trusted);
  if (first.some(({ uid }) => uid === self)) return divided(first, self);
  await chmod(await mkdtemp(join(tmpdir(), PREFIX)), 0o755); // others may read who holds a lock
  // Of two processes that make the first one at the same time, the later one sees both.
  return divided(await foldersOf(trusted), self);
}

interface Folder {
  readonly path: string;
  readonly uid: number;
}

async function foldersOf(trusted: ReadonlySet<number>): Promise<readonly Folder[]> {
  const folders: Folder[] = [];
  for (const name of (await readdir(tmpdir())).sort()) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(tmpdir(), name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory() === true && (found.mode & 0o022) === 0 && trusted.has(found.uid))
      folders.push({ path, uid: found.uid });
  }
  return folders;
}

function divided(folders: readonly Folder[], self: number): LockFolders {
  const own = folders.filter(({ uid }) => uid === self).map(({ path }) => path);
  return { own, others: folders.filter(({ uid }) => uid !== self).map(({ path }) => path) };
}

/** Who owns a path, or the part of it that exists. */
async function ownerOf(path: string): Promise<number> {
  try {
    return (await stat(path)).uid;
  } catch (error) {
    if (dirname(path) === path) throw error;
    return ownerOf(dirname(path));
  }
}
