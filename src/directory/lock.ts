import { hash, randomBytes } from "node:crypto";
import { link, mkdir, readFile, realpath, rmdir, stat, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { lockFolders } from "./lock-folders.ts";
import { isRunning, processId } from "./process-id.ts";

/** Lets one process at a time write to a folder. */
export interface DirectoryLock {
  /** `undefined` when it is ours now, else who has it: `process 4711`. A lock whose process is gone is taken over. */
  acquire(): Promise<undefined | { readonly holder: string }>;
  release(): Promise<void>;
}

/** How long a process may take to clear a dead one's lock, in milliseconds. */
const CLEARING_MS = 5000;

/**
 * The lock of the folder `path`, which need not exist. It is a file named by the real path, where only those can write who may
 * write to `path`: a file in each folder of this user, and no live process's in those of others.
 */
export function directoryLock(path: string): DirectoryLock {
  let held: readonly string[] = [];

  async function release(): Promise<void> {
    const files = held;
    held = [];
    for (const file of files) await unlink(file).catch(ignoreMissing);
  }

  async function acquire(): Promise<undefined | { readonly holder: string }> {
    const target = await realPathOf(path);
    const name = `${hash("sha256", target, "hex").slice(0, 32)}.lock`;
    const taken: string[] = [];
    const holder = await holderOf(target, name, taken);
    if (holder === undefined) {
      held = taken;
      return undefined;
    }
    for (const file of taken) await unlink(file).catch(ignoreMissing);
    return { holder: `process ${holder.split("-")[0]}` };
  }
  return { acquire, release };
}

/** Take the locks in all folders of this user, which are added to `taken`; who has it otherwise. */
async function holderOf(target: string, name: string, taken: string[]): Promise<string | undefined> {
  for (;;) {
    const { own, others } = await lockFolders(target).catch((cause: unknown) => {
      throw new Error(`Cannot lock "${target}" as the temporary folder ${tmpdir()} must be one to write to`, { cause });
    });
    const free = own.map((folder) => join(folder, name)).filter((file) => !taken.includes(file));
    for (const file of free) {
      const holder = await take(file);
      if (holder !== undefined) return holder;
      taken.push(file);
    }
    if (free.length > 0) continue; // a folder that somebody made meanwhile is found now, or finds ours
    const holders = others.map((folder) => readFile(join(folder, name), "utf8").catch(() => ""));
    return (await Promise.all(holders)).find((holder) => isRunning(holder));
  }
}

/** Take one lock; whose it is if it is taken already. A dead process's is cleared. */
async function take(file: string): Promise<string | undefined> {
  for (;;) {
    if (await tryAcquire(file)) return undefined;
    const holder = await readFile(file, "utf8").catch(() => undefined);
    if (holder === undefined) continue; // released just now
    if (isRunning(holder)) return holder;
    await clear(file);
  }
}

/** Make the lock with its content in one step: a lock that is seen always says whose it is. */
async function tryAcquire(file: string): Promise<boolean> {
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    await writeFile(draft, processId(), { flag: "wx", mode: 0o644 });
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new Error(`Cannot lock the folder by ${file}`, { cause: error });
  } finally {
    await unlink(draft).catch(ignoreMissing);
  }
}

/** Remove a dead process's lock. Only one process does so at a time, or the second could remove the first one's new lock. */
async function clear(file: string): Promise<void> {
  const clearing = `${file}.clearing`;
  try {
    await mkdir(clearing);
  } catch {
    const since = await stat(clearing).then(
      ({ mtimeMs }) => mtimeMs,
      () => Date.now(),
    );
    if (Date.now() - since > CLEARING_MS) await rmdir(clearing).catch(ignoreMissing);
    await sleep(20);
    return;
  }
  try {
    const holder = await readFile(file, "utf8");
    if (!isRunning(holder)) await unlink(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      throw new Error(`Cannot remove the lock ${file} of a process that is gone`, { cause: error });
  } finally {
    await rmdir(clearing).catch(ignoreMissing);
  }
}

/** The real path of the part that exists, followed by the rest. */
async function realPathOf(path: string): Promise<string> {
  const absolute = resolve(path);
  try {
    return await realpath(absolute);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTDIR")
      throw new Error(`Cannot use "${absolute}" as a target: a part of this path is a file, not a folder`);
    if (code !== "ENOENT" || dirname(absolute) === absolute) throw error;
    return join(await realPathOf(dirname(absolute)), basename(absolute));
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
