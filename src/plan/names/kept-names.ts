import { parseServiceKey, type ServiceKey } from "../../model/service.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { fillLegacy } from "./dns-names.ts";

/** Judges the standing names that nothing gives to a service in this pass. */
export interface KeptNames {
  /**
   * Whether a name stays for now: an alias that had it could not be read, or may be missing from a list that is known only in
   * part. Who reads a registry for the first time does not know yet whose alias that is.
   */
  mayBeOfAlias(registry: string, name: string): boolean;
}

/** Names that the templates of `registries` may have given to aliases that are not known in this pass. */
export function keptNames(
  { failed, authorities }: Pick<Catalog, "failed" | "authorities">,
  templates: ReadonlyMap<string, readonly string[]>,
): KeptNames {
  let unread: ReadonlyMap<string, ReadonlySet<string>> | undefined;
  const patterns = new Map<string, readonly RegExp[]>();

  function patternsOf(registry: string): readonly RegExp[] {
    const known = patterns.get(registry);
    if (known !== undefined) return known;
    const made = (templates.get(registry) ?? []).map((template) => patternOf(template, registry));
    patterns.set(registry, made);
    return made;
  }

  return {
    mayBeOfAlias(registry, name) {
      unread ??= namesOfFailed(failed.keys(), templates);
      if (unread.get(registry)?.has(name) === true) return true;
      return authorities.get(registry)?.state !== "complete" && patternsOf(registry).some((one) => one.test(name));
    },
  };
}

/** By registry, what the templates give to services that could not be read. */
function namesOfFailed(
  keys: Iterable<ServiceKey>,
  templates: ReadonlyMap<string, readonly string[]>,
): ReadonlyMap<string, ReadonlySet<string>> {
  const names = new Map<string, Set<string>>();
  for (const key of keys) {
    const parts = parseServiceKey(key);
    if (parts === undefined) continue;
    const own = names.get(parts.registry) ?? new Set();
    names.set(parts.registry, own);
    for (const template of templates.get(parts.registry) ?? []) own.add(fillLegacy(template, parts));
  }
  return names;
}

/** What a template may give, whatever it is filled with. */
function patternOf(template: string, registry: string): RegExp {
  const text = template
    .toLowerCase()
    .replace(/[.*+?^$()|[\]\\]/g, "\\$&")
    .replaceAll("{registry}", registry)
    .replace(/\{(service|namespace)\}/g, ".+");
  return new RegExp(`^${text}$`);
}
