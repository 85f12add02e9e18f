import type { Config } from "../../config/config.ts";
import type { PremadeRule } from "../../model/premade.ts";

/** Entries that others wrote by hand count where this installation may write. */
export function premadeRule({ owner, registries, merge, aliases, target }: Config): PremadeRule {
  const namespaces = new Set([target.namespace, ...aliases.map((rule) => rule.in)]);
  return { owner, namespaces, registries, merge };
}
