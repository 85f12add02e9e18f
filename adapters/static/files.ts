import { createHash, webcrypto } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join, normalize, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Bytes of one file. */
const MAX_BYTES = 64 * 1024 * 1024;
/** A file that was written less than this ago may still be growing. */
const QUIET_MS = 50;
const MAX_QUIET_MS = 1000;
const FILES_AT_ONCE = 32;

/** A file of services as it was found. */
export interface FoundFile {
  /** Its name in messages: as configured, relative to the configuration. */
  readonly shown: string;
  readonly path: string;
}

/** What the configured paths come to. */
export interface Found {
  readonly files: readonly FoundFile[];
  /** Folders that could not be listed, or hold no file. */
  readonly problems: readonly string[];
  /** Folders in which a change may show. */
  readonly folders: readonly string[];
}

/** Find the files of configured paths: a folder means its visible `*.yaml` and `*.yml`, sorted, without those below it. */
export async function findFiles(paths: readonly string[], dir: string): Promise<Found> {
  const files = new Map<string, FoundFile>();
  const problems: string[] = [];
  const folders = new Set<string>();
  for (const configured of paths) {
    const path = resolve(dir, configured);
    folders.add(dirname(path));
    const found = await listed(path, normalize(configured));
    if (typeof found === "string") problems.push(found);
    else for (const file of found) files.set(file.path, file);
  }
  for (const { path } of files.values()) {
    folders.add(dirname(path));
    const real = await realpath(path).catch(() => path);
    folders.add(dirname(real));
  }
  return { files: [...files.values()], problems, folders: [...folders] };
}

async function listed(path: string, shown: string): Promise<readonly FoundFile[] | string> {
  try {
    if (!(await stat(path)).isDirectory()) return [{ shown, path }];
    const names = (await readdir(path)).filter((name) => !name.startsWith(".") && /\.ya?ml$/.test(name)).sort();
    if (names.length === 0) return `${shown}: this folder holds no *.yaml or *.yml`;
    return names.map((name) => ({ shown: join(shown, name), path: join(path, name) }));
  } catch {
    return [{ shown, path }]; // reading it will say why
  }
}

/** Identity, size and times of files; differs after any write that began more than a moment after the last. */
export async function stamp({ files, problems }: Found): Promise<string> {
  const stamps = await Promise.all(
    files.map(async ({ path }) => `${path} ${await stat(path, { bigint: true }).then(stampOf, codeOf)}`),
  );
  return JSON.stringify([stamps, problems]);
}

function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

/** The content of a file, or why there is none. */
export type Content = { readonly text: string; readonly hash: string } | { readonly problem: string };

/** A file and what is in it. */
export interface ReadFile extends FoundFile {
  readonly content: Content;
}

/** Read all files, in their order. */
export async function readFiles({ files }: Found, signal: AbortSignal): Promise<readonly ReadFile[]> {
  const read: ReadFile[] = [];
  for (let from = 0; from < files.length; from += FILES_AT_ONCE) {
    const some = files.slice(from, from + FILES_AT_ONCE);
    read.push(
      ...(await Promise.all(some.map(async (file) => ({ ...file, content: await readContent(file, signal) })))),
    );
  }
  return read;
}

/** A hash over all contents and problems. */
export function digest({ problems }: Found, files: readonly ReadFile[]): string {
  const contents = files.map(({ path, content }) => [path, "problem" in content ? content.problem : content.hash]);
  return hash(JSON.stringify([contents, problems]));
}

/** Read a file that no one is writing at the moment. A file that keeps on changing for a second is a problem: its end may be missing. */
async function readContent({ shown, path }: FoundFile, signal: AbortSignal): Promise<Content> {
  try {
    for (
      const start = performance.now();
      performance.now() - start < MAX_QUIET_MS;
      await sleep(QUIET_MS / 2, undefined, { signal })
    ) {
      const before = await stat(path, { bigint: true });
      if (!before.isFile()) return { problem: `${shown}: is not a regular file` };
      if (before.size > MAX_BYTES)
        return { problem: `${shown}: must be at most 64 MiB, is ${before.size} bytes: use several files` };
      const ageMs = Date.now() - Number(before.mtimeNs / 1_000_000n);
      if (ageMs >= 0 && ageMs < QUIET_MS) continue;
      const bytes = await readFile(path, { signal });
      if (stampOf(before) === stampOf(await stat(path, { bigint: true }))) return await decode(shown, bytes);
    }
    return { problem: `${shown}: is being written` };
  } catch (cause) {
    signal.throwIfAborted();
    return { problem: `${shown}: ${codeOf(cause)} (${path})` };
  }
}

async function decode(shown: string, bytes: Uint8Array<ArrayBuffer>): Promise<Content> {
  // Of a large file in a thread of its own.
  const digest = Buffer.from(await webcrypto.subtle.digest("SHA-256", bytes)).toString("base64url");
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), hash: digest };
  } catch {
    return { problem: `${shown}: is not UTF-8` };
  }
}

function hash(content: string): string {
  return createHash("sha256").update(content).digest("base64url");
}

const KNOWN_CODES: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  ENOTDIR: "no such file",
  ELOOP: "too many symbolic links",
};

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return KNOWN_CODES[code ?? ""] ?? message;
}
