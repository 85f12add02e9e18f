import type { Config } from "../../config/config.ts";
import { parseServiceKey } from "../../model/service.ts";
import type { Reading } from "../../plan/catalog/catalog.ts";
import { type UnmatchedOptions, type UnmatchedRule, unmatchedRules } from "../../plan/catalog/unmatched-rules.ts";
import type { Decision } from "../../plan/decision.ts";

/** Rules of a configuration that are for none of these services. */
export function unmatchedIn(
  config: Config,
  { services, isComplete, isCaseless }: Pick<UnmatchedOptions, "services" | "isComplete" | "isCaseless">,
): readonly UnmatchedRule[] {
  return unmatchedRules({ rules: config, services, isComplete, isCaseless, includes: includesOf(config) });
}

/** The same by a decision on everything: of registries that were read as a whole. */
export function unmatchedBy(
  config: Config,
  { catalog, undemanded, beyond }: Pick<Decision, "catalog" | "undemanded" | "beyond">,
  readings: ReadonlyMap<string, Reading>,
): readonly UnmatchedRule[] {
  const unread = [...catalog.failed.keys()].flatMap((key) => parseServiceKey(key) ?? []);
  const moved = [...(catalog.moved?.keys() ?? [])].flatMap((key) => parseServiceKey(key) ?? []);
  return unmatchedIn(config, {
    services: [...catalog.services.values(), ...undemanded.values(), ...beyond.values(), ...unread, ...moved],
    isCaseless(registry) {
      const reading = readings.get(registry);
      return reading?.state === "read" && reading.snapshot.caseless === true;
    },
    isComplete: (registry) => {
      const first = config.merge.includes(registry) ? (config.merge[0] ?? registry) : registry;
      return catalog.authorities.get(first)?.state === "complete";
    },
  });
}

/** Names that registries are asked for by a pattern: kinds that have it call it `services.include`. */
function includesOf({ registries }: Config): NonNullable<UnmatchedOptions["includes"]> {
  return registries.flatMap(({ name: registry, options }, at) => {
    const { services } = (options ?? {}) as { readonly services?: { readonly include?: unknown } };
    const include = Array.isArray(services?.include) ? (services.include as readonly unknown[]) : [];
    return include.flatMap((glob, index) =>
      typeof glob === "string" && glob !== "*"
        ? [{ registry, path: ["registries", at, "services", "include", index], glob }]
        : [],
    );
  });
}
