import { randomBytes } from "node:crypto";
import { link, lstat, mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { contentHash } from "./file.ts";
import { isRunning, processId } from "./process-id.ts";

/**
 * Put `text` in the place of a file, wholly or not at all, if the file still has the content `expectedHash` (`undefined`: is absent).
 * With `text` undefined the file goes.
 *
 * @returns false when the file is another by now; nothing has been changed then.
 * @throws When it cannot be written; the old file is intact.
 */
export async function replaceFile(
  file: string,
  text: string | undefined,
  expectedHash: string | undefined,
): Promise<boolean> {
  if (text === undefined) {
    if (!(await hasContent(file, expectedHash))) return false;
    await unlink(file);
    return true;
  }
  const draft = join(await realFolder(file), `.x2istio-${processId()}-${randomBytes(6).toString("hex")}.tmp`);
  try {
    await writeThrough(draft, text);
    if (!(await hasContent(file, expectedHash))) return false;
    if (expectedHash === undefined) return await putNew(draft, file);
    await rename(draft, file);
    return true;
  } finally {
    await unlink(draft).catch(() => undefined); // after a rename it is gone
  }
}

/** Whether a file name is that of a draft whose process is gone. */
export function isLeftover(name: string): boolean {
  const [, id] = /^\.x2istio-(\d+-\d+)-[0-9a-f]+\.tmp$/.exec(name) ?? [];
  return id !== undefined && !isRunning(id);
}

async function hasContent(file: string, expectedHash: string | undefined): Promise<boolean> {
  try {
    return contentHash(await readFile(file)) === expectedHash;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return expectedHash === undefined;
    throw error;
  }
}

/** A link, unlike a rename, never replaces a file that someone made in the meantime. */
async function putNew(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (!["EPERM", "ENOTSUP", "ENOSYS", "EOPNOTSUPP"].includes(code)) throw error;
    await rename(draft, file); // a file system without links
  }
  return true;
}

async function writeThrough(draft: string, text: string): Promise<void> {
  const handle = await open(draft, "wx");
  try {
    await handle.writeFile(text);
    await handle.sync(); // or a power cut could leave the name with an empty file behind it
  } finally {
    await handle.close();
  }
}

/** The file's folder, made where it is missing. One that is a link would be written through to another place. */
async function realFolder(file: string): Promise<string> {
  const folder = dirname(file);
  await mkdir(folder, { recursive: true });
  if ((await lstat(folder)).isSymbolicLink()) throw new Error(`${folder} is a symbolic link`);
  return folder;
}
