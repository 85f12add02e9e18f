import { canonical, ledgerSpot } from "../istio/addresses.ts";
import { fieldsOf, stringsOf } from "../istio/fields.ts";
import type { RawObject } from "../kube/client/raw.ts";
import type { ObjectEditor } from "../kube/write/object-editor.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type ObjectKey,
  OWNER_LABEL,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
} from "../model/objects.ts";
import { parseServiceKey, serviceKey } from "../model/service.ts";
import type { Standing } from "../model/standing.ts";
import type { Target } from "../model/target.ts";
import type { OwnershipAction } from "./actions.ts";

/** Whose objects become whose. */
export interface Succession {
  readonly from: string;
  /** The owner that is configured. */
  readonly to: string;
  /** Where entries and routes stand. */
  readonly namespace: string;
}

/**
 * Take over all objects of another owner: this configuration's own, from before its `owner` was renamed. Their VIPs are taken
 * over in the ledger first, so that no pass gives them others.
 *
 * @throws When that owner's process is at work.
 */
export async function ownerActions(
  target: Pick<Target, "standing" | "writeLedger">,
  editor: ObjectEditor,
  { from, to, namespace }: Succession,
  { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<readonly OwnershipAction[]> {
  if (from === to) throw new Error(`Cannot adopt the objects of "${from}" as they are ours already`);
  const leader = await editor.leaderOf(from);
  if (leader !== undefined)
    throw new Error(`Cannot adopt the objects of "${from}" as ${leader} is running: stop it first`);
  const keys = [...target.standing().foreign].filter(([, { owner }]) => owner === from).map(([key]) => key);
  const objects: (readonly [ObjectKey, RawObject])[] = [];
  for (const key of keys.sort()) {
    signal.throwIfAborted();
    const object = await editor.read(key);
    if (object?.metadata?.labels?.[MANAGED_BY_LABEL] === MANAGED_BY && isInPlace(key, namespace))
      objects.push([key, object]);
  }
  if (!isDryRun) await takeVips(target, objects, { from, to }, signal);
  return objects.map(([key, object]) => ({
    kind: "adopt",
    key,
    service: object.metadata?.annotations?.[SERVICE_ANNOTATION],
    why: `becomes ours from ${from}`,
    write: () => editor.mark(key, object, { labels: { [OWNER_LABEL]: to } }),
  }));
}

/** Entries and routes anywhere but in the target namespace would not count as ours. */
function isInPlace(key: ObjectKey, namespace: string): boolean {
  const [kind, place] = key.split("/");
  return kind === "Service" || place === namespace;
}

async function takeVips(
  target: Pick<Target, "standing" | "writeLedger">,
  objects: readonly (readonly [ObjectKey, RawObject])[],
  { from, to }: Pick<Succession, "from" | "to">,
  signal: AbortSignal,
): Promise<void> {
  const owners = [from, to];
  const { ledger } = target.standing();
  const data = new Map<string, Record<string, string>>();
  for (const [, { spec }] of objects) {
    const [host = ""] = stringsOf(fieldsOf(spec).hosts);
    for (const address of stringsOf(fieldsOf(spec).addresses).flatMap((text) => canonical(text) ?? [])) {
      const { block, key } = ledgerSpot(address);
      const rows = data.get(block) ?? { ...ledger.get(block)?.data };
      const [holder, owner = ""] = (rows[key] ?? "").split(" ");
      if (holder !== host || !owners.includes(owner)) continue;
      data.set(block, { ...rows, [key]: `${host} ${to} used` });
    }
  }
  const writes = [...data].map(([name, rows]) => ({
    name,
    resourceVersion: ledger.get(name)?.resourceVersion ?? "",
    data: rows,
  }));
  if (writes.length > 0) await target.writeLedger(writes, { signal, mayWrite: () => !signal.aborted });
}

/**
 * Give all objects of a registry its new name. They keep host, VIP and aliases.
 *
 * @param registries names of those that are configured
 * @throws When the configuration has the old name still, or not the new one.
 */
export async function renameActions(
  standing: Pick<Standing, "objects">,
  editor: ObjectEditor,
  { from, to }: { readonly from: string; readonly to: string },
  registries: readonly string[],
): Promise<readonly OwnershipAction[]> {
  if (registries.includes(from) || !registries.includes(to))
    throw new Error(`Cannot rename registry "${from}" to "${to}" as the configuration must have the new name only`);
  const objects = [...standing.objects.values()];
  const taken = new Set(objects.flatMap(({ registry, service = "" }) => (registry === to ? service : [])));
  const actions: OwnershipAction[] = [];
  for (const { key, registry, service } of objects.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const parts = service === undefined || registry !== from ? undefined : parseServiceKey(service);
    if (parts === undefined) continue;
    const renamed = serviceKey(to, parts.namespace, parts.name);
    const object = await editor.read(key);
    if (object === undefined || taken.has(renamed))
      actions.push({
        kind: "refuse",
        key,
        service,
        why: object ? `${renamed} stands already` : "it is not there any more",
      });
    else {
      const marks = { labels: { [REGISTRY_LABEL]: to }, annotations: { [SERVICE_ANNOTATION]: renamed } };
      const write = () => editor.mark(key, object, marks);
      actions.push({ kind: "adopt", key, service: renamed, why: `now belongs to ${renamed}`, write });
    }
  }
  return actions;
}
