import type { Hands } from "../kube/hands.ts";
import { fieldsOf, type RawObject, stringsOf } from "../kube/raw.ts";
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  type ObjectKey,
  OWNER_LABEL,
  REGISTRY_LABEL,
  SERVICE_ANNOTATION,
} from "../model/objects.ts";
import { parseServiceKey, serviceKey } from "../model/service.ts";
import { canonical, ledgerSpot } from "../plan/addresses.ts";
import type { HandStep } from "./hand-steps.ts";
import type { Once } from "./once.ts";

/**
 * Take over all objects of another owner: this configuration's own, from before its `owner` was renamed. Their VIPs are taken
 * over in the ledger first, so that no pass gives them others.
 *
 * @throws When that owner's process is at work.
 */
export async function ownerSteps(
  opened: Once,
  hands: Hands,
  from: string,
  { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
): Promise<readonly HandStep[]> {
  const { config, target } = opened;
  if (from === config.owner) throw new Error(`Cannot adopt the objects of "${from}" as they are ours already`);
  const leader = await hands.leaderOf(from);
  if (leader !== undefined)
    throw new Error(`Cannot adopt the objects of "${from}" as ${leader} is at work: stop it first`);
  const keys = [...target.standing().foreign].filter(([, { owner }]) => owner === from).map(([key]) => key);
  const objects: (readonly [ObjectKey, RawObject])[] = [];
  for (const key of keys.sort()) {
    signal.throwIfAborted();
    const object = await hands.read(key);
    if (object?.metadata?.labels?.[MANAGED_BY_LABEL] === MANAGED_BY && isInPlace(opened, key))
      objects.push([key, object]);
  }
  if (!isDryRun) await takeVips(opened, objects, from, signal);
  return objects.map(([key, object]) => ({
    act: "adopt",
    key,
    service: object.metadata?.annotations?.[SERVICE_ANNOTATION],
    why: `becomes ours from ${from}`,
    write: () => hands.mark(key, object, { labels: { [OWNER_LABEL]: config.owner } }),
  }));
}

/** Entries and routes anywhere but in the target namespace would not count as ours. */
function isInPlace({ config }: Once, key: ObjectKey): boolean {
  const [kind, namespace] = key.split("/");
  return kind === "Service" || (config.target.kind === "kubernetes" && namespace === config.target.namespace);
}

async function takeVips(
  { config, target }: Once,
  objects: readonly (readonly [ObjectKey, RawObject])[],
  from: string,
  signal: AbortSignal,
): Promise<void> {
  const owners = [from, config.owner];
  const { ledger } = target.standing();
  const data = new Map<string, Record<string, string>>();
  for (const [, { spec }] of objects) {
    const [host = ""] = stringsOf(fieldsOf(spec).hosts);
    for (const address of stringsOf(fieldsOf(spec).addresses).flatMap((text) => canonical(text) ?? [])) {
      const { block, key } = ledgerSpot(address);
      const rows = data.get(block) ?? { ...ledger.get(block)?.data };
      const [holder, owner = ""] = (rows[key] ?? "").split(" ");
      if (holder !== host || !owners.includes(owner)) continue;
      data.set(block, { ...rows, [key]: `${host} ${config.owner} used` });
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
 * @throws When the configuration has the old name still, or not the new one.
 */
export async function renameSteps(
  { config, target }: Once,
  hands: Hands,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<readonly HandStep[]> {
  const names = config.registries.map(({ name }) => name);
  if (names.includes(from) || !names.includes(to))
    throw new Error(`Cannot rename registry "${from}" to "${to}" as the configuration must have the new name only`);
  const objects = [...target.standing().objects.values()];
  const taken = new Set(objects.flatMap(({ registry, service = "" }) => (registry === to ? service : [])));
  const steps: HandStep[] = [];
  for (const { key, registry, service } of objects.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const parts = service === undefined || registry !== from ? undefined : parseServiceKey(service);
    if (parts === undefined) continue;
    const renamed = serviceKey(to, parts.namespace, parts.name);
    const object = await hands.read(key);
    if (object === undefined || taken.has(renamed))
      steps.push({
        act: "refuse",
        key,
        service,
        why: object ? `${renamed} stands already` : "it is not there any more",
      });
    else {
      const marks = { labels: { [REGISTRY_LABEL]: to }, annotations: { [SERVICE_ANNOTATION]: renamed } };
      const write = () => hands.mark(key, object, marks);
      steps.push({ act: "adopt", key, service: renamed, why: `is of ${renamed} from now on`, write });
    }
  }
  return steps;
}
