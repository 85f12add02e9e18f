import { join } from "node:path";
import { ConflictError } from "../errors.ts";
import { type ObjectKey, objectKey, type ServiceEntry } from "../model/objects.ts";
import type { Change, Create, Delete, Update } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import type { LedgerWrite, WriteOptions, WriteOutcome, WriteReport, WriteResult } from "../model/target.ts";
import { replaceFile } from "./atomic.ts";
import { contentHash, ledgerPath, ledgerText, mayRewrite, servicePath, servicesText } from "./file.ts";
import type { DirectoryState } from "./state.ts";
import { eachOf } from "./tree.ts";
import { withFields } from "./yaml.ts";

/** What a file write was for. */
export type DirectoryOperation = "create" | "update" | "delete" | "ledger";

/** What writing needs. */
export interface WriterOptions {
  readonly root: string;
  readonly ledgerNamespace: string;
  readonly state: DirectoryState;
  /** Bring the state in step with one file. */
  readonly visit: (path: string) => Promise<void>;
  /** Told of each attempt to write a file. */
  readonly onWrite?: ((operation: DirectoryOperation, result: "ok" | "failed") => void) | undefined;
}

/** Writes changes and ledger blocks as files, each as a whole. */
export function directoryWriter({ root, ledgerNamespace, state, visit, onWrite }: WriterOptions) {
  /** @returns false when the file is another by now; the state then holds the newer one. */
  async function put(path: string, text: string | undefined, operation: DirectoryOperation): Promise<boolean> {
    const standing = state.files.get(path);
    if (text !== undefined && standing?.hash === contentHash(text)) return true;
    let result: "ok" | "failed" = "failed";
    try {
      const done = await replaceFile(join(root, path), text, standing?.hash);
      result = done ? "ok" : "failed";
      return done;
    } catch (cause) {
      throw new Error(`Cannot write "${join(root, path)}"`, { cause });
    } finally {
      onWrite?.(operation, result);
      await visit(path);
    }
  }

  async function writeLedger(writes: readonly LedgerWrite[], { signal, mayWrite }: WriteOptions): Promise<void> {
    for (const { name, resourceVersion, data } of writes) {
      signal.throwIfAborted();
      if (!mayWrite()) throw new Error("Cannot write the VIP ledger: this process may not write any more");
      const path = ledgerPath(ledgerNamespace, name);
      const file = state.files.get(path);
      if (!isSafePath(path)) throw new Error(`Cannot write the VIP ledger: "${path}" is no legal place`);
      if (file !== undefined && !mayRewrite(file))
        throw new Error(`Cannot write the VIP ledger: "${join(root, path)}" ${file.problem ?? "is not ours"}`);
      if ((file?.ledger?.resourceVersion ?? "") !== resourceVersion)
        throw new ConflictError(`Cannot write the VIP ledger as ${name} moved since it was read`);
      const text = ledgerText(ledgerNamespace, name, data, file?.others ?? []);
      if (!(await put(path, text, "ledger")))
        throw new ConflictError(`Cannot write the VIP ledger as ${name} moved since it was read`);
    }
  }

  async function write(
    changes: readonly Change[],
    { signal, mayWrite, onProgress }: WriteOptions,
  ): Promise<WriteReport> {
    const results: WriteResult[] = [];
    const finish = (change: Change, outcome: WriteOutcome, error?: unknown) => {
      results.push(error === undefined ? { change, outcome } : { change, outcome, error });
      onProgress?.(results.length, changes.length);
    };
    const byFile = groupByFile(changes, state, finish);
    for (const operation of ["update", "create", "delete"] as const) {
      const files = [...byFile].filter(([, group]) => operationOf(group) === operation);
      await eachOf(files, async ([path, group]) => {
        if (signal.aborted || !mayWrite()) for (const change of group) finish(change, "skipped");
        else await writeFile(path, group, operation, finish);
      });
    }
    return { results };
  }

  async function writeFile(
    path: string,
    group: readonly Change[],
    operation: DirectoryOperation,
    finish: Finish,
  ): Promise<void> {
    const withoutEntry = new Set<ServiceKey>();
    const valid = entriesFirst(group).filter((change) => {
      const orphaned = change.kind === "create" && withoutEntry.has(change.object.service);
      const fault = orphaned ? (["skipped"] as const) : faultOf(change, path);
      if (fault !== undefined) finish(change, ...fault);
      if (fault !== undefined && change.kind === "create" && change.object.manifest.kind === "ServiceEntry")
        withoutEntry.add(change.object.service);
      return fault === undefined;
    });
    if (valid.length === 0) return;
    try {
      const done = await put(path, textAfter(path, valid), operation);
      for (const change of valid) finish(change, done ? "written" : (faultOf(change, path)?.[0] ?? "conflict"));
    } catch (error) {
      for (const change of valid) finish(change, "failed", error);
    }
  }

  /** Why a change cannot be made to what stands now. */
  function faultOf(change: Change, path: string): readonly [WriteOutcome, unknown?] | undefined {
    const file = state.files.get(path);
    if (change.kind !== "create" && file?.problem !== undefined)
      return ["failed", new Error(`"${join(root, path)}" ${file.problem}`)];
    if (change.kind !== "create") {
      const { key, resourceVersion } = change.standing;
      const { objects, premade } = state.standing;
      return (isFilling(change) ? premade : objects).get(key)?.resourceVersion === resourceVersion
        ? undefined
        : ["conflict"];
    }
    if (!isSafePath(path)) return ["failed", new Error(`"${path}" is no legal place for ${change.object.key}`)];
    if (file !== undefined && !mayRewrite(file))
      return ["foreign", new Error(`"${join(root, path)}" ${file.problem ?? "is not ours"}`)];
    if (state.standing.objects.has(change.object.key)) return ["conflict"];
    return state.standing.foreign.has(change.object.key) ? ["foreign"] : undefined;
  }

  function textAfter(path: string, changes: readonly Change[]): string | undefined {
    const file = state.files.get(path);
    const manifests = new Map(file?.objects.map(({ key, manifest }) => [key, manifest]));
    const others = [...(file?.others ?? [])];
    for (const change of changes) {
      if (change.kind === "delete") manifests.delete(change.standing.key);
      else if (isFilling(change)) {
        const at = state.premadePlaceOf(change.object.key)?.at ?? -1;
        others[at] = filledText(others[at] ?? "", change.object.manifest as ServiceEntry);
      } else manifests.set(change.object.key, change.object.manifest);
    }
    return manifests.size + others.length === 0 ? undefined : servicesText([...manifests.values()], others);
  }

  return { write, writeLedger };
}

/** A document of someone else's with the ports and endpoints of `manifest`; all else in it stays, comments too. */
function filledText(text: string, { spec: { ports, endpoints } }: ServiceEntry): string {
  return withFields(text, "spec", { ports, endpoints });
}

function entriesFirst(changes: readonly Change[]): Change[] {
  const rank = (change: Change) => (change.kind === "create" && change.object.manifest.kind === "ServiceEntry" ? 0 : 1);
  return [...changes].sort((a, b) => rank(a) - rank(b));
}

type Finish = (change: Change, outcome: WriteOutcome, error?: unknown) => void;

function operationOf(group: readonly Change[]): Change["kind"] {
  if (group.some(({ kind }) => kind === "update")) return "update";
  return group.some(({ kind }) => kind === "create") ? "create" : "delete";
}

/** Whether it fills an entry that someone else wrote. */
function isFilling(change: Change): change is Update {
  return change.kind === "update" && change.premade !== undefined;
}

function standingPath(change: Update | Delete, { placeOf, premadePlaceOf }: DirectoryState): string | undefined {
  const { key } = change.standing;
  return isFilling(change) ? premadePlaceOf(key)?.path : placeOf(key);
}

/** Which change goes to which file; what has no entry to stand with is skipped. */
function groupByFile(changes: readonly Change[], state: DirectoryState, finish: Finish): Map<string, Change[]> {
  const creates = changes.filter((change) => change.kind === "create");
  const homes = creates.length === 0 ? new Map<ServiceKey, string>() : homesOf(creates, state);
  const byFile = new Map<string, Change[]>();
  for (const change of changes) {
    const path = change.kind === "create" ? homes.get(change.object.service) : standingPath(change, state);
    if (path === undefined)
      change.kind === "create"
        ? finish(change, "skipped", new Error(`there is no ServiceEntry of ${change.object.service} to stand with`))
        : finish(change, "conflict");
    else byFile.set(path, [...(byFile.get(path) ?? []), change]);
  }
  return byFile;
}

/** Where each service's new objects go: to the entry that is made with them, else to the one that stands. */
function homesOf(creates: readonly Create[], state: DirectoryState): Map<ServiceKey, string> {
  const asked = new Set(creates.map(({ object }) => object.service));
  const homes = new Map<ServiceKey, string>();
  const standing = [...state.standing.objects.values()].filter(
    ({ service, manifest }) => manifest.kind === "ServiceEntry" && service !== undefined && asked.has(service),
  );
  for (const { key, service = "" } of withoutCompanions(standing, ({ manifest }) => manifest))
    homes.set(service, state.placeOf(key) ?? "");
  const made = creates.filter(({ object }) => object.manifest.kind === "ServiceEntry").map(({ object }) => object);
  for (const { service, manifest } of withoutCompanions(made, ({ manifest }) => manifest, state.standing.objects))
    homes.set(service, servicePath(manifest.metadata.namespace, manifest.metadata.name));
  return homes;
}

/** Drop the `-legacy` companions of entries that are there too. */
function withoutCompanions<Item extends { readonly manifest: StandingObject["manifest"] }>(
  items: readonly Item[],
  manifestOf: (item: Item) => StandingObject["manifest"],
  beside?: ReadonlyMap<ObjectKey, unknown>,
): Item[] {
  const keyOf = (item: Item, name: string) => objectKey("ServiceEntry", manifestOf(item).metadata.namespace, name);
  const keys = new Set(items.map((item) => keyOf(item, manifestOf(item).metadata.name)));
  return items.filter((item) => {
    const { name } = manifestOf(item).metadata;
    const main = keyOf(item, name.replace(/-legacy$/, ""));
    return !name.endsWith("-legacy") || !(keys.has(main) || beside?.has(main) === true);
  });
}

/** Two DNS names and an ending: nothing that could lead out of the folder. */
function isSafePath(path: string): boolean {
  return /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\/[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\.yaml$/.test(
    path,
  );
}
