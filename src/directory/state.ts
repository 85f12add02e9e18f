import { changeLog } from "../async/change-log.ts";
import { type Claim, type ConfiguredClaim, configuredClaim } from "../model/claim.ts";
import { type ObjectKey, objectKey } from "../model/objects.ts";
import type { ForeignObject, PremadeEntry, Standing, StandingLedgerBlock, StandingObject } from "../model/standing.ts";
import { type DirectoryFile, servicePath } from "./file.ts";

/** What stands in the folder, kept file by file. */
export interface DirectoryState {
  readonly standing: Standing;
  readonly files: ReadonlyMap<string, DirectoryFile>;
  /** Put a file's new content, or with `undefined` its absence, in place of the old. */
  put(path: string, file: DirectoryFile | undefined): void;
  /** The file in which an object of ours stands. */
  placeOf(key: ObjectKey): string | undefined;
  premadePlaceOf(key: ObjectKey): PremadePlace | undefined;
  version(): number;
  /** Resolve when `version()` differs from `version`, or reject when `signal` aborts. */
  waitForChange(version: number, signal: AbortSignal): Promise<void>;
  /** What changed since; `undefined` when that is not known any more. */
  changesSince(version: number): ReadonlySet<ObjectKey> | undefined;
}

/** Where an entry stands that is to be filled: which of a file's documents that are not ours. */
export interface PremadePlace {
  readonly path: string;
  readonly at: number;
}

/** What stands, and where. Only `put` and what it calls change it. */
interface State {
  readonly files: Map<string, DirectoryFile>;
  readonly objects: Map<ObjectKey, StandingObject>;
  /** In which files each of `objects` stands; it is read from the first. */
  readonly places: Map<ObjectKey, readonly string[]>;
  readonly foreign: Map<ObjectKey, ForeignObject>;
  readonly premade: Map<ObjectKey, PremadeEntry>;
  readonly premadePlaces: Map<ObjectKey, PremadePlace>;
  readonly ledger: Map<string, StandingLedgerBlock>;
  readonly onDuplicate: (key: ObjectKey, paths: readonly string[]) => void;
}

/** Start with an empty folder. `onDuplicate` is told of an object that stands in two files: the first one counts. */
export function directoryState(
  onDuplicate: (key: ObjectKey, paths: readonly string[]) => void,
  configured: readonly ConfiguredClaim[] = [],
): DirectoryState {
  const state: State = {
    files: new Map(),
    objects: new Map(),
    places: new Map(),
    foreign: new Map(),
    premade: new Map(),
    premadePlaces: new Map(),
    ledger: new Map(),
    onDuplicate,
  };
  const { files, places, premadePlaces, objects, foreign, premade, ledger } = state;
  const log = changeLog<ObjectKey>();
  return {
    standing: { objects, foreign, premade, ledger, namespaces: undefined, claims: claimsOf(configured) },
    files,
    put(path, file) {
      const before = files.get(path);
      if (before?.hash === file?.hash && before?.problem === file?.problem) return;
      put(state, path, file);
      for (const key of new Set([...keysOf(before), ...keysOf(file)])) log.add(key);
    },
    placeOf: (key) => places.get(key)?.[0],
    premadePlaceOf: (key) => premadePlaces.get(key),
    version: log.version,
    waitForChange: log.wait,
    changesSince: log.since,
  };
}

function claimsOf(configured: readonly ConfiguredClaim[]): ReadonlyMap<ObjectKey, Claim> {
  const keyOf = ({ by }: ConfiguredClaim) => objectKey("Service", by.namespace, by.name);
  return new Map(configured.map((claim) => [keyOf(claim), configuredClaim(claim, undefined)]));
}

function put(state: State, path: string, file: DirectoryFile | undefined): void {
  const { files, places, foreign, ledger } = state;
  const before = files.get(path);
  if (before !== undefined) takeOut(state, before);
  if (file === undefined) files.delete(path);
  else files.set(path, file);
  for (const { key } of file?.objects ?? []) place(state, key, [...without(places.get(key), path), path]);
  for (const clash of file?.foreign ?? []) foreign.set(foreignKey(clash), clash);
  takePremade(state, file);
  if ((before?.premade.size ?? 0) > 0) for (const other of files.values()) takePremade(state, other);
  if ((before?.foreign.length ?? 0) > 0) for (const other of files.values()) takeForeign(state, other);
  if (file?.ledger !== undefined) ledger.set(file.ledger.name, file.ledger);
}

/** Forget what stood in a file, but for what stands in another one too. */
function takeOut(state: State, file: DirectoryFile): void {
  const { places, foreign, premade, premadePlaces, ledger } = state;
  for (const { key } of file.objects) place(state, key, without(places.get(key), file.path));
  for (const clash of file.foreign) if (foreign.get(foreignKey(clash)) === clash) foreign.delete(foreignKey(clash));
  for (const { key } of file.premade.values()) {
    if (premadePlaces.get(key)?.path !== file.path) continue;
    premade.delete(key);
    premadePlaces.delete(key);
  }
  if (file.ledger !== undefined) ledger.delete(file.ledger.name);
}

/** Of one that stands in several files, one is enough. */
function takePremade({ premade, premadePlaces }: State, file: DirectoryFile | undefined): void {
  for (const [at, entry] of file?.premade ?? []) {
    if (file === undefined || premade.has(entry.key)) continue;
    premade.set(entry.key, entry);
    premadePlaces.set(entry.key, { path: file.path, at });
  }
}

/** Of one that stands in several files, one is enough. */
function takeForeign({ foreign }: State, { foreign: clashes }: DirectoryFile): void {
  for (const clash of clashes) if (!foreign.has(foreignKey(clash))) foreign.set(foreignKey(clash), clash);
}

/** Note in which files an object stands: first the one that is named by its entry. */
function place({ files, objects, places, onDuplicate }: State, key: ObjectKey, paths: readonly string[]): void {
  const isHome = (path: string) => isHomeOf(files.get(path), path, key);
  const sorted = [...paths].sort((a, b) => Number(isHome(b)) - Number(isHome(a)) || (a < b ? -1 : 1));
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
function isHomeOf(file: DirectoryFile | undefined, path: string, key: ObjectKey): boolean {
  const { objects = [] } = file ?? {};
  const entries = objects.filter(({ manifest }) => manifest.kind === "ServiceEntry");
  return (
    entries.some(({ manifest: { metadata } }) => servicePath(metadata.namespace, metadata.name) === path) &&
    objects.some((object) => object.key === key)
  );
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
