import { type OwnedObject, objectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { ForeignObject } from "../../model/standing.ts";
import type { Naming } from "../names/naming.ts";
import { serviceHold } from "./holds.ts";

/** What is to become of our VirtualService where someone else routes its host, too. */
export interface RouteVerdict {
  /** Written as if nobody else did; or theirs has all that ours has, and ours goes; or ours stays as it stands. */
  readonly ours: "write" | "drop" | "keep";
  readonly hold?: Hold;
}

/**
 * Two VirtualServices on one host do not merge for sidecars, the older wins silently. So ours is not written where someone's
 * is, and goes where one in a namespace that is trusted with the service has all its hosts; from anyone else it keeps the host.
 */
export function judgeRoute(
  { key, registry, service, manifest }: OwnedObject,
  other: ForeignObject,
  stands: boolean,
  isTrusted: boolean,
): RouteVerdict {
  const [host = "", ...legacy] = manifest.kind === "VirtualService" ? manifest.spec.hosts : [];
  const lacking = legacy.filter((name) => !other.hosts.includes(name)).join(", ");
  if (isTrusted && lacking === "") return { ours: "drop" };
  const [who, tooMany] = [`${other.kind} ${other.namespace}/${other.name}`, "and Istio uses only the older one"];
  const add = lacking === "" ? "" : `; for the legacy names to work over HTTP add to its hosts: ${lacking}`;
  const regarding = objectKey(other.kind, other.namespace, other.name);
  const hold = (subject: string, message: string): Hold => ({
    ...serviceHold(service, registry, "foreign", message, subject),
    regarding,
  });
  if (!stands) return { ours: "keep", hold: hold(key, `${who} already routes ${host}${add}`) };
  if (!isTrusted) return { ours: "write", hold: hold(host, `${who} routes ${host}, too, ${tooMany}`) };
  const message = `${who} routes ${host}, too, ${tooMany}; ours goes once these are among its hosts: ${lacking}`;
  return { ours: "keep", hold: hold(key, message) };
}

/** Whether a namespace may route a service instead of us: that of the entries, and those of the service's aliases. */
export function mayRoute(key: ServiceKey, namespace: string, naming: Naming, own: string): boolean {
  const aliases = naming.services.get(key)?.aliases ?? [];
  return namespace === own || aliases.some((alias) => alias.namespace === namespace);
}
