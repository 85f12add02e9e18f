import { resolve } from "node:path";
import { each } from "../async/each.ts";
import type { Log } from "../log.ts";
import type { ConfiguredClaim } from "../model/claim.ts";
import type { PremadeRule } from "../model/premade.ts";
import type { Target } from "../model/target.ts";
import { writeLedgerBlocks } from "./ledger.ts";
import type { DirectoryOperation, Writer } from "./put-file.ts";
import { directoryState } from "./state.ts";
import { IN_FLIGHT, treeReader } from "./tree.ts";
import { type TreeWatch, watchTree } from "./watch.ts";
import { writeChanges } from "./write.ts";

/** A folder as the target. */
export interface DirectoryOptions {
  /** The folder; made with the first write. */
  readonly path: string;
  readonly owner: string;
  readonly ledgerNamespace: string;
  /** Which entries that others wrote by hand are to be filled; without it none. */
  readonly premade?: PremadeRule;
  /** Claims of the configuration. What their Services are like is not known here. */
  readonly claims?: readonly ConfiguredClaim[];
  readonly log?: Pick<Log, "warn"> | undefined;
  /** Told of each attempt to write a file. */
  readonly onWrite?: ((operation: DirectoryOperation, result: "ok" | "failed") => void) | undefined;
}

/**
 * The objects as YAML files, `<path>/<namespace>/<the entry's name>.yaml` with all objects of one service.
 *
 * Files without an object of ours are never touched, but for entries whose author asks for it; documents of others in a file
 * of ours are kept.
 * One process at a time may write (see `directoryLock`); any may read.
 */
export function directoryTarget(options: DirectoryOptions): Target {
  const { path, owner, ledgerNamespace, premade, claims = [], log, onWrite } = options;
  const root = resolve(path);
  const state = directoryState(
    (key, paths) => log?.warn({ object: key, files: paths }, "object stands in several files; the first one is used"),
    claims,
  );
  let watching: TreeWatch | undefined;
  const reader = treeReader({
    root,
    state,
    log,
    ownership: { owner, ledgerNamespace, premade },
    onFolder: (folder) => watching?.add(folder),
  });
  const writer: Writer = { root, state, onWrite, visit: visitWritten };

  /** A first write makes folders that are to be watched from then on. */
  async function visitWritten(file: string): Promise<void> {
    watching?.add("");
    watching?.add(file.slice(0, file.lastIndexOf("/")));
    await reader.visit(file);
  }

  async function start({ watch, signal }: Parameters<Target["start"]>[0]): Promise<void> {
    signal.throwIfAborted();
    if (watch) {
      watching = watchTree({
        root,
        onChange: visitAll,
        onError: (error) => log?.warn({ error, folder: root }, "folder cannot be watched or read"),
      });
      signal.addEventListener("abort", () => watching?.close(), { once: true });
    }
    await reader.visit("");
  }

  /** A path that cannot be read must not stop the others. */
  async function visitAll(paths: readonly string[]): Promise<void> {
    const failures: unknown[] = [];
    await each(paths, IN_FLIGHT, (path) => reader.visit(path).catch((error) => void failures.push(error)));
    if (failures.length > 0) throw failures[0];
  }

  return {
    kind: "directory",
    start,
    standing: () => state.standing,
    version: state.version,
    waitForChange: state.waitForChange,
    changesSince: state.changesSince,
    nowMs: Date.now,
    writeLedger: (writes, how) => writeLedgerBlocks(writes, ledgerNamespace, writer, how),
    write: (changes, how) => writeChanges(changes, writer, how),
    report: async () => undefined,
    close: async () => watching?.close(),
  };
}
