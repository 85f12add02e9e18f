import { join } from "node:path";
import { each } from "../async/each.ts";
import { ANNOTATION_PREFIX, type Manifest, type ObjectKey, type ServiceEntry } from "../model/objects.ts";
import type { Change, Create } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { WriteOptions, WriteOutcome, WriteReport, WriteResult } from "../model/target.ts";
import { keyOf, turnOf } from "../model/write-order.ts";
import { type ByFile, type Finish, groupByFile, isFilling } from "./by-file.ts";
import { mayRewrite, servicesText } from "./file.ts";
import { firstOf, LATER, laterOf } from "./later.ts";
import { isSafePath, putFile, type Writer } from "./put-file.ts";
import type { DirectoryState } from "./state.ts";
import { withFields } from "./yaml.ts";

const DEPENDS = new Error("what it depends on could not be written");
/** Files written at once. */
const IN_FLIGHT = 32;

/**
 * Write changes, file by file: updates first, then what is new, then what had to wait for these, then deletes. A file that cannot be
 * written stops no other.
 */
export async function writeChanges(
  changes: readonly Change[],
  writer: Writer,
  { signal, mayWrite, onProgress }: WriteOptions,
): Promise<WriteReport> {
  const results: WriteResult[] = [];
  const written = new Set<ObjectKey>();
  const finish: Finish = (change, outcome, error) => {
    results.push(error === undefined ? { change, outcome } : { change, outcome, error });
    if (outcome === "written") written.add(keyOf(change));
    onProgress?.(results.length, changes.length);
  };
  const byFile = [...groupByFile(changes, writer.state, finish)];
  const inTurn = byFile.map(([path, group]) => [path, group.filter((change) => turnOf(change) === undefined)] as const);
  const write = (files: ByFile, told: Finish) =>
    each(files, IN_FLIGHT, async ([path, group]) => {
      if (signal.aborted || !mayWrite()) for (const change of group) told(change, "skipped");
      else await writeFile(writer, path, group, told);
    });
  const inOperation = (operation: Change["kind"]) => inTurn.filter(([, group]) => operationOf(group) === operation);

  await write(inOperation("update"), finish);
  await write(firstOf(byFile), (step, outcome) => void (outcome === "written" && written.add(keyOf(step))));
  await write(inOperation("create"), finish);
  for (const phase of LATER) {
    const { files, origins, stuck } = laterOf(byFile, phase, writer.state, written);
    for (const change of stuck) finish(change, "skipped", DEPENDS);
    await write(files, (step, outcome, error) => {
      const { change, isWhole } = origins.get(step) ?? { change: step, isWhole: true };
      if (isWhole || outcome !== "written") finish(change, outcome, error);
      else finish(change, "skipped", DEPENDS);
    });
  }
  await write(inOperation("delete"), finish);
  return { results };
}

function operationOf(group: readonly Change[]): Change["kind"] {
  if (group.some(({ kind }) => kind === "update")) return "update";
  return group.some(({ kind }) => kind === "create") ? "create" : "delete";
}

async function writeFile(writer: Writer, path: string, group: readonly Change[], finish: Finish): Promise<void> {
  const valid = validOf(writer, path, group, finish);
  if (valid.length === 0) return;
  try {
    const done = await putFile(writer, path, textAfter(writer.state, path, valid), operationOf(group));
    for (const change of valid) finish(change, done ? "written" : (faultOf(writer, change, path)?.[0] ?? "conflict"));
  } catch (error) {
    for (const change of valid) finish(change, "failed", error);
  }
}

/** The changes that can be made to what stands now; the others are finished. */
function validOf(writer: Writer, path: string, group: readonly Change[], finish: Finish): readonly Change[] {
  const withoutEntry = new Set<ServiceKey>();
  return entriesFirst(group).filter((change) => {
    const orphaned = change.kind === "create" && withoutEntry.has(change.object.service);
    const fault = orphaned ? (["skipped"] as const) : faultOf(writer, change, path);
    if (fault !== undefined) finish(change, ...fault);
    if (fault !== undefined && isCreateOfEntry(change)) withoutEntry.add(change.object.service);
    return fault === undefined;
  });
}

function entriesFirst(changes: readonly Change[]): Change[] {
  return [...changes].sort((a, b) => Number(isCreateOfEntry(b)) - Number(isCreateOfEntry(a)));
}

function isCreateOfEntry(change: Change): change is Create {
  return change.kind === "create" && change.object.manifest.kind === "ServiceEntry";
}

/** Why a change cannot be made to what stands now. */
function faultOf({ root, state }: Writer, change: Change, path: string): readonly [WriteOutcome, unknown?] | undefined {
  const file = state.files.get(path);
  const { objects, premade, foreign } = state.standing;
  if (change.kind !== "create") {
    if (file?.problem !== undefined) return ["failed", new Error(`"${join(root, path)}" ${file.problem}`)];
    const { key, resourceVersion } = change.standing;
    const standing = (isFilling(change) ? premade : objects).get(key);
    return standing?.resourceVersion === resourceVersion ? undefined : ["conflict"];
  }
  const { key } = change.object;
  if (!isSafePath(path)) return ["failed", new Error(`"${path}" is not a valid path for ${key}`)];
  if (file !== undefined && !mayRewrite(file))
    return ["foreign", new Error(`"${join(root, path)}" ${file.problem ?? "is not ours"}`)];
  if (objects.has(key)) return ["conflict"];
  return foreign.has(key) ? ["foreign"] : undefined;
}

/** A file's text once `changes` are made; `undefined` when nothing is left in it. */
function textAfter(state: DirectoryState, path: string, changes: readonly Change[]): string | undefined {
  const file = state.files.get(path);
  const manifests = new Map(file?.objects.map(({ key, manifest }) => [key, manifest]));
  const others = [...(file?.others ?? [])];
  for (const change of changes) {
    if (change.kind === "delete") manifests.delete(change.standing.key);
    else if (isFilling(change)) {
      const at = state.premadePlaceOf(change.object.key)?.at ?? -1;
      others[at] = filledText(others[at] ?? "", change.object.manifest as ServiceEntry);
    } else manifests.set(change.object.key, withOthers(change.object.manifest, manifests.get(change.object.key)));
  }
  return manifests.size + others.length === 0 ? undefined : servicesText([...manifests.values()], others);
}

/** Labels and annotations that are not ours stay, as in a cluster. */
function withOthers(wanted: Manifest, standing: Manifest | undefined): Manifest {
  const { labels = {}, annotations = {} } = standing?.metadata ?? {};
  const others = (all: Readonly<Record<string, string>>) =>
    Object.entries(all).filter(([name]) => !name.startsWith(ANNOTATION_PREFIX));
  const [moreLabels, moreAnnotations] = [others(labels), others(annotations)];
  const { metadata } = wanted;
  if (moreLabels.length + moreAnnotations.length === 0) return wanted;
  return {
    ...wanted,
    metadata: {
      ...metadata,
      labels: { ...Object.fromEntries(moreLabels), ...metadata.labels },
      ...(moreAnnotations.length === 0 && metadata.annotations === undefined
        ? {}
        : { annotations: { ...Object.fromEntries(moreAnnotations), ...metadata.annotations } }),
    },
  } as Manifest;
}

/** A document of someone else's with the ports and endpoints of `manifest`; all else in it stays, comments too. */
function filledText(text: string, { spec: { ports, endpoints } }: ServiceEntry): string {
  return withFields(text, "spec", { ports, endpoints });
}
