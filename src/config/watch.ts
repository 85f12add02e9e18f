import { type FSWatcher, watch } from "node:fs";
import { readFile, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ConfigError } from "../errors.ts";
import type { Config, ConfigContext } from "./config.ts";
import { parseConfig } from "./parse.ts";

/** How long a half-written file may take to become whole, in milliseconds. */
const SETTLE_MS = 50;
/** A change that no watcher reports (a network file system, a moved folder) is seen after this time, in milliseconds. */
const RECHECK_MS = 2000;

/**
 * Each new state of `current`'s file: the configuration, or the error that a broken file gives, until `signal` aborts.
 *
 * Edits that change nothing but comments and layout are passed over. A file that is absent (an editor between two renames) is waited for.
 */
export async function* configChanges(
  current: Config,
  context: ConfigContext,
  signal: AbortSignal,
): AsyncGenerator<Config | ConfigError, void> {
  let last: Config | ConfigError = current;
  let lastText: string | undefined;
  while (!signal.aborted) {
    using hint = await watchFolders(current.file); // before the read, so that no change falls between
    const text = await readSettled(current.file);
    const next: Config | ConfigError =
      text === undefined || text === lastText ? last : read(text, current.file, context);
    lastText = text ?? lastText;
    if (sameState(next, last)) {
      await hint.changed(signal);
      continue;
    }
    last = next;
    yield next;
  }
}

function read(text: string, file: string, context: ConfigContext): Config | ConfigError {
  try {
    return parseConfig(text, file, context);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}

function sameState(left: Config | ConfigError, right: Config | ConfigError): boolean {
  if (left instanceof ConfigError || right instanceof ConfigError)
    return left instanceof ConfigError && right instanceof ConfigError && left.message === right.message;
  return isDeepStrictEqual(left, right);
}

/** The text once two reads agree; `undefined` while there is no file. */
async function readSettled(file: string): Promise<string | undefined> {
  let text = await readFile(file, "utf8").catch(() => undefined);
  for (;;) {
    await sleep(SETTLE_MS);
    const again = await readFile(file, "utf8").catch(() => undefined);
    if (again === text) return text;
    text = again;
  }
}

interface Hint extends Disposable {
  changed(signal: AbortSignal): Promise<void>;
}

/** Watch the file's folder, not its inode, which a rename replaces; and the folder of what it links to (a ConfigMap's data). */
async function watchFolders(file: string): Promise<Hint> {
  const watchers: FSWatcher[] = [];
  const noticed = new AbortController();
  const target = await realpath(file).catch(() => file);
  for (const folder of new Set([dirname(file), dirname(target)])) {
    try {
      watchers.push(watch(folder, () => noticed.abort()).on("error", () => noticed.abort()));
    } catch {
      // the folder is away for now: the recheck sees it come back
    }
  }
  return {
    changed: async (signal) => {
      await sleep(RECHECK_MS, undefined, { signal: AbortSignal.any([signal, noticed.signal]) }).catch(() => undefined);
    },
    [Symbol.dispose]: () => {
      for (const watcher of watchers) watcher.close();
    },
  };
}
