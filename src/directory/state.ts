import { type ObjectKey, objectKey } from "../model/objects.ts";
import type { ForeignObject, Standing, StandingLedgerBlock, StandingObject } from "../model/standing.ts";
import { type DirectoryFile, servicePath } from "./file.ts";

/** What stands in the folder, kept file by file. */
export type DirectoryState = ReturnType<typeof directoryState>;

/** Start with an empty folder. `onDuplicate` is told of an object that stands in two files: the first one counts. */
export function directoryState(onDuplicate: (key: ObjectKey, paths: readonly string[]) => void) {
  const files = new Map<string, DirectoryFile>();
  const places = new Map<ObjectKey, readonly string[]>();
  const objects = new Map<ObjectKey, StandingObject>();
  const foreign = new Map<ObjectKey, ForeignObject>();
  const ledger = new Map<string, StandingLedgerBlock>();
  const standing: Standing = { objects, foreign, ledger, namespaces: undefined };
  const waiting = new Set<() => void>();
  let version = 0;

  /** Put a file's new content, or with `undefined` its absence, in place of the old. */
  function put(path: string, file: DirectoryFile | undefined): void {
    const before = files.get(path);
    if (before?.hash === file?.hash && before?.problem === file?.problem) return;
    for (const { key } of before?.objects ?? []) place(key, without(places.get(key), path));
    for (const clash of before?.foreign ?? [])
      if (foreign.get(foreignKey(clash)) === clash) foreign.delete(foreignKey(clash));
    if (before?.ledger !== undefined) ledger.delete(before.ledger.name);
    if (file === undefined) files.delete(path);
    else files.set(path, file);
    for (const { key } of file?.objects ?? []) place(key, [...without(places.get(key), path), path]);
    for (const clash of file?.foreign ?? []) foreign.set(foreignKey(clash), clash);
    if (file?.ledger !== undefined) ledger.set(file.ledger.name, file.ledger);
    if (!matters(before) && !matters(file)) return;
    version++;
    for (const wake of waiting) wake();
  }

  function place(key: ObjectKey, paths: readonly string[]): void {
    const sorted = [...paths].sort((a, b) => Number(isHome(b, key)) - Number(isHome(a, key)) || (a < b ? -1 : 1));
    const [first] = sorted;
    if (sorted.length > 1) onDuplicate(key, sorted);
    const object =
      first === undefined ? undefined : files.get(first)?.objects.find((standingThere) => standingThere.key === key);
    if (object === undefined) {
      objects.delete(key);
      places.delete(key);
    } else {
      objects.set(key, object);
      places.set(key, sorted);
    }
  }

  /** Whether a file is the one that an entry in it names. */
  function isHome(path: string, key: ObjectKey): boolean {
    const entries = files.get(path)?.objects.filter(({ manifest }) => manifest.kind === "ServiceEntry") ?? [];
    return (
      entries.some(({ manifest: { metadata } }) => servicePath(metadata.namespace, metadata.name) === path) &&
      files.get(path)?.objects.some((object) => object.key === key) === true
    );
  }

  function waitForChange(seen: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => () => {
        waiting.delete(wake);
        signal.removeEventListener("abort", abort);
        settle();
      };
      const wake = done(resolve);
      const abort = done(() => reject(signal.reason as Error));
      if (signal.aborted) return abort();
      if (version !== seen) return resolve();
      waiting.add(wake);
      signal.addEventListener("abort", abort);
    });
  }

  return {
    standing,
    files: files as ReadonlyMap<string, DirectoryFile>,
    put,
    placeOf: (key: ObjectKey) => places.get(key)?.[0],
    version: () => version,
    waitForChange,
  };
}

function matters(file: DirectoryFile | undefined): boolean {
  return file !== undefined && (file.objects.length > 0 || file.foreign.length > 0 || file.ledger !== undefined);
}

function without(paths: readonly string[] = [], path: string): readonly string[] {
  return paths.filter((other) => other !== path);
}

function foreignKey({ kind, namespace, name }: ForeignObject): ObjectKey {
  return objectKey(kind, namespace, name);
}
