import { setTimeout as sleep } from "node:timers/promises";
import { digest, findFiles, readFiles, stamp } from "./files.ts";
import { watchFolders } from "./watch.ts";

/** Wait so long after a sign of change: editors and ConfigMaps make several in a row. */
const DEBOUNCE_MS = 50;
/** Files are checked this often even without a sign, the more of them the more rarely. */
const CHECK_MS = 500;
const CHECK_MS_PER_FILE = 10;

/** Files as they were last seen. */
export interface SeenFiles {
  readonly paths: readonly string[];
  readonly dir: string;
  readonly digest: string;
  /** Taken before `digest`; `undefined` when there is none that belongs to it. */
  readonly stamp: string | undefined;
}

/** Resolve when the content of files differs from what was seen; reject when `signal` aborts. */
export async function filesChange(
  { paths, dir, digest: seen, stamp: seenStamp }: SeenFiles,
  signal: AbortSignal,
): Promise<void> {
  let quiet = seenStamp;
  for (;;) {
    const { folders, files } = await findFiles(paths, dir);
    signal.throwIfAborted();
    const watch = watchFolders(folders);
    try {
      // Checked only now that the watch is open, so that no change is missed in between.
      const found = await findFiles(paths, dir);
      const now = await stamp(found);
      if (now !== quiet && digest(found, await readFiles(found, signal)) !== seen) return;
      quiet = now;
      await watch.sign(CHECK_MS + files.length * CHECK_MS_PER_FILE, signal);
    } finally {
      watch.close();
    }
    await sleep(DEBOUNCE_MS, undefined, { signal });
  }
}
