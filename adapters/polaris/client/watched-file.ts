import { resolve } from "node:path";
import { fileFault, ReadError } from "../../../src/errors.ts";
import { type FileText, fileText } from "../../file-text.ts";

/** A file is checked for changes this often at most. */
const CHECK_MS = 1000;

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
  let kept: FileText | undefined;
  let checkedMs = Number.NEGATIVE_INFINITY;
  return {
    async text(fresh = false) {
      const nowMs = performance.now();
      if (kept !== undefined && !fresh && nowMs - checkedMs < CHECK_MS) return kept.text;
      try {
        kept = await fileText(resolve(dir, path), kept);
        checkedMs = nowMs;
        return kept.text;
      } catch (cause) {
        throw new ReadError("denied", `Cannot read ${path}: ${fileFault(cause)}`);
      }
    },
  };
}
