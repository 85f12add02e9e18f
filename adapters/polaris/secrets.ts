import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { ReadError } from "../../src/errors.ts";

/** A file is looked at this often at most. */
const LOOK_MS = 1000;

/** The text of a file that may be exchanged at any time, such as a mounted Secret. */
export interface WatchedFile {
  /**
   * The text as it stands now, or as it stood at most a second ago unless `fresh`.
   *
   * @throws {ReadError} When it cannot be read.
   */
  text(fresh?: boolean): Promise<string>;
}

/** A file that is read again when it has changed. */
export function watchedFile(dir: string, path: string): WatchedFile {
  let kept: { readonly stamp: string; readonly text: string } | undefined;
  let lookedMs = Number.NEGATIVE_INFINITY;
  return {
    async text(fresh = false) {
      const nowMs = performance.now();
      if (kept !== undefined && !fresh && nowMs - lookedMs < LOOK_MS) return kept.text;
      try {
        const { mtimeMs, size, ino } = await stat(resolve(dir, path));
        const stamp = `${mtimeMs} ${size} ${ino}`;
        if (kept?.stamp !== stamp) kept = { stamp, text: await readFile(resolve(dir, path), "utf8") };
        lookedMs = nowMs;
        return kept.text;
      } catch (cause) {
        throw new ReadError("denied", `Cannot read ${path}`, { cause });
      }
    },
  };
}
