import { changeLog } from "../model/change-log.ts";
import { type ConfiguredClaim, configuredClaim } from "../model/claim.ts";
import { type ObjectKey, objectKey } from "../model/objects.ts";
import type { ForeignObject, PremadeEntry, Standing, StandingLedgerBlock, StandingObject } from "../model/standing.ts";
import { type DirectoryFile, servicePath } from "./file.ts";

/** What stands in the folder, kept file by file. */
export type DirectoryState = ReturnType<typeof directoryState>;

/** Start with an empty folder. `onDuplicate` is told of an object that stands in two files: the first one counts. */
export function directoryState(
  onDuplicate: (key: ObjectKey, paths: readonly string[]) => void,
  configured: readonly ConfiguredClaim[] = [],
) {
  const files = new Map<string, DirectoryFile>();
  const places = new Map<ObjectKey, readonly string[]>();
  const objects = new Map<ObjectKey, StandingObject>();
  const foreign = new Map<ObjectKey, ForeignObject>();
  const premade = new Map<ObjectKey, PremadeEntry>();
  const premadePlaces = new Map<ObjectKey, PremadePlace>();
  const ledger = new Map<string, StandingLedgerBlock>();
  const claims = new Map(
    configured.map((claim) => [
      objectKey("Service", claim.by.namespace, claim.by.name),
      configuredClaim(claim, undefined),
    ]),
  );
  const standing: Standing = { objects, foreign, premade, ledger, namespaces: undefined, claims };
  const log = changeLog();

  /** Put a file's new content, or with `undefined` its absence, in place of the old. */
  function put(path: string, file: DirectoryFile | undefined): void {
    const before = files.get(path);
    if (before?.hash === file?.hash && before?.problem === file?.problem) return;
    for (const { key } of before?.objects ?? []) place(key, without(places.get(key), path));
    for (const clash of before?.foreign ?? [])
      if (foreign.get(foreignKey(clash)) === clash) foreign.delete(foreignKey(clash));
    for (const { key } of before?.premade.values() ?? []) {
      if (premadePlaces.get(key)?.path !== path) continue;
      premade.delete(key);
      premadePlaces.delete(key);
    }
    if (before?.ledger !== undefined) ledger.delete(before.ledger.name);
    if (file === undefined) files.delete(path);
    else files.set(path, file);
    for (const { key } of file?.objects ?? []) place(key, [...without(places.get(key), path), path]);
    for (const clash of file?.foreign ?? []) foreign.set(foreignKey(clash), clash);
    takePremade(file);
    if ((before?.premade.size ?? 0) > 0) for (const other of files.values()) takePremade(other);
    if (file?.ledger !== undefined) ledger.set(file.ledger.name, file.ledger);
    for (const key of new Set([...keysOf(before), ...keysOf(file)])) log.add(key);
  }

  /** Of one that stands in several files, one is enough. */
  function takePremade(file: DirectoryFile | undefined): void {
    for (const [at, entry] of file?.premade ?? []) {
      if (file === undefined || premade.has(entry.key)) continue;
      premade.set(entry.key, entry);
      premadePlaces.set(entry.key, { path: file.path, at });
    }
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

  return {
    standing,
    files: files as ReadonlyMap<string, DirectoryFile>,
    put,
    placeOf: (key: ObjectKey) => places.get(key)?.[0],
    premadePlaceOf: (key: ObjectKey) => premadePlaces.get(key),
    version: log.version,
    waitForChange: log.wait,
    changesSince: log.since,
  };
}

/** Where an entry stands that is to be filled: which of a file's documents that are not ours. */
interface PremadePlace {
  readonly path: string;
  readonly at: number;
}

/** What a file can change in `standing`. */
function keysOf(file: DirectoryFile | undefined): readonly ObjectKey[] {
  if (file === undefined) return [];
  const { objects, foreign, ledger } = file;
  const blocks = ledger === undefined ? [] : [`ConfigMap/${ledger.name}`];
  return [...objects.map(({ key }) => key), ...foreign.map(foreignKey), ...blocks];
}

function without(paths: readonly string[] = [], path: string): readonly string[] {
  return paths.filter((other) => other !== path);
}

function foreignKey({ kind, namespace, name }: ForeignObject): ObjectKey {
  return objectKey(kind, namespace, name);
}
