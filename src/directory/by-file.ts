import { type ObjectKey, objectKey } from "../model/objects.ts";
import type { Change, Create, Delete, Update } from "../model/plan.ts";
import type { ServiceKey } from "../model/service.ts";
import type { StandingObject } from "../model/standing.ts";
import type { WriteOutcome } from "../model/target.ts";
import { servicePath } from "./file.ts";
import type { DirectoryState } from "./state.ts";

/** Told what became of a change. */
export type Finish = (change: Change, outcome: WriteOutcome, error?: unknown) => void;

/** Changes by the file that they are made in. */
export type ByFile = readonly (readonly [path: string, group: readonly Change[]])[];

/** Whether it fills an entry that someone else wrote. */
export function isFilling(change: Change): change is Update {
  return change.kind === "update" && change.premade !== undefined;
}

function standingPath(change: Update | Delete, { placeOf, premadePlaceOf }: DirectoryState): string | undefined {
  const { key } = change.standing;
  return isFilling(change) ? premadePlaceOf(key)?.path : placeOf(key);
}

/** Which change goes to which file; what has no entry to stand with is skipped. */
export function groupByFile(changes: readonly Change[], state: DirectoryState, finish: Finish): Map<string, Change[]> {
  const creates = changes.filter((change) => change.kind === "create");
  const homes = creates.length === 0 ? new Map<ServiceKey, string>() : homesOf(creates, changes, state);
  const byFile = new Map<string, Change[]>();
  for (const change of changes) {
    const path = change.kind === "create" ? homes.get(change.object.service) : standingPath(change, state);
    if (path === undefined)
      change.kind === "create"
        ? finish(
            change,
            "skipped",
            new Error(`there is no ServiceEntry of ${change.object.service} whose file it could go into`),
          )
        : finish(change, "conflict");
    else byFile.set(path, [...(byFile.get(path) ?? []), change]);
  }
  return byFile;
}

/** Where each service's new objects go: to the entry that is made with them, else to the one that stands or becomes its own. */
function homesOf(
  creates: readonly Create[],
  changes: readonly Change[],
  state: DirectoryState,
): Map<ServiceKey, string> {
  const asked = new Set(creates.map(({ object }) => object.service));
  const homes = new Map<ServiceKey, string>();
  for (const change of changes) {
    if (change.kind !== "update" || change.standing.service === change.object.service) continue;
    const { service, manifest, key } = change.object;
    if (manifest.kind === "ServiceEntry" && asked.has(service)) homes.set(service, state.placeOf(key) ?? "");
  }
  const standing = [...state.standing.objects.values()].filter(
    ({ service, manifest }) => manifest.kind === "ServiceEntry" && service !== undefined && asked.has(service),
  );
  for (const { key, service = "" } of withoutCompanions(standing)) homes.set(service, state.placeOf(key) ?? "");
  const made = creates.filter(({ object }) => object.manifest.kind === "ServiceEntry").map(({ object }) => object);
  for (const { service, manifest } of withoutCompanions(made, state.standing.objects))
    homes.set(service, servicePath(manifest.metadata.namespace, manifest.metadata.name));
  return homes;
}

/** Drop the `-legacy` companions of entries that are there too, or stand `beside`. */
function withoutCompanions<Item extends { readonly manifest: StandingObject["manifest"] }>(
  items: readonly Item[],
  beside?: ReadonlyMap<ObjectKey, unknown>,
): Item[] {
  const keyOf = ({ manifest }: Item, name: string) => objectKey("ServiceEntry", manifest.metadata.namespace, name);
  const keys = new Set(items.map((item) => keyOf(item, item.manifest.metadata.name)));
  return items.filter((item) => {
    const { name } = item.manifest.metadata;
    const main = keyOf(item, name.replace(/-legacy$/, ""));
    return !name.endsWith("-legacy") || !(keys.has(main) || beside?.has(main) === true);
  });
}
