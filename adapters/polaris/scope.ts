import { isNamePart, isServiceName } from "../../src/istio/limits.ts";
import { nameFilter } from "../globs.ts";
import type { Name } from "./client/reply.ts";
import type { PolarisOptions } from "./options.ts";

/** Why a listed name is none of ours: Polaris's own service, not what the options ask for, or none that can be used. */
export type Outside = "infrastructure" | "filter" | "name";

/** Judges names by the options; `undefined` for one that is asked for. */
export function scopeOf({
  namespaces,
  services,
}: Pick<PolarisOptions, "namespaces" | "services">): (name: Name) => Outside | undefined {
  const isWanted = nameFilter(services);
  return ({ namespace, name }) => {
    if (namespace === "Polaris" && name.startsWith("polaris.")) return "infrastructure";
    if (namespaces?.includes(namespace) === false) return "filter";
    if (!isNamePart(namespace) || !isServiceName(name)) return "name";
    return isWanted(name) ? undefined : "filter";
  };
}
