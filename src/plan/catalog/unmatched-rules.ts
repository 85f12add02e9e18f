import type { AliasRule, Settings } from "../../model/settings.ts";
import { globMatches } from "../glob.ts";
import type { Named } from "../names/dns-names.ts";
import { nearestNames } from "../names/nearest.ts";
import { isRuleFor } from "../names/wishes.ts";

/** A rule of the configuration that no service is for. */
export interface UnmatchedRule {
  /** Where it stands in the configuration. */
  readonly path: readonly (string | number)[];
  readonly registry: string;
  /** Reads on from the path: `matches no service of registry vms: …`. */
  readonly message: string;
}

/** What rules are held against. */
export interface UnmatchedOptions {
  readonly rules: Pick<Settings, "merge" | "aliases"> & { readonly migration: Pick<Settings["migration"], "allow"> };
  /** All that are listed, whether they stand or not; merged ones by the registry that stands for them. */
  readonly services: readonly Named[];
  /** Whether a registry has listed all that it has: of others nothing is known. */
  readonly isComplete: (registry: string) => boolean;
  /** Whether a registry compares names without case; none if left out. */
  readonly isCaseless?: ((registry: string) => boolean) | undefined;
  /** Patterns of names that registries are asked for, by their places in the configuration. */
  readonly includes?: readonly {
    readonly registry: string;
    readonly path: readonly (string | number)[];
    readonly glob: string;
  }[];
}

/** Rules that match nothing: most are misspelled, or older than what they were for. */
export function unmatchedRules({
  rules,
  services,
  isComplete,
  isCaseless = () => false,
  includes = [],
}: UnmatchedOptions): readonly UnmatchedRule[] {
  const byRegistry = Map.groupBy(services, ({ registry }) => registry);
  const [first = "", ...joined] = rules.merge;
  const judge = (path: UnmatchedRule["path"], rule: Pattern): readonly UnmatchedRule[] => {
    const { registry } = rule;
    if (joined.includes(registry))
      return [
        {
          path,
          registry,
          message: `matches no service: those of registry ${registry} are merged into ${first}; write registry: ${first}`,
        },
      ];
    if (!isComplete(registry)) return [];
    const all = byRegistry.get(registry) ?? [];
    if (all.some((service) => isRuleFor(rule, service, isCaseless(registry)))) return [];
    return [{ path, registry, message: `matches no service of registry ${registry}${similar(rule, all)}` }];
  };
  return [
    ...rules.aliases.flatMap((rule, at) => judge(["aliases", at], rule)),
    ...rules.migration.allow.flatMap((rule, at) => judge(["migration", "allow", at], rule)),
    ...includes.flatMap(({ registry, path, glob }) => {
      if (!isComplete(registry)) return [];
      const all = byRegistry.get(joined.includes(registry) ? first : registry) ?? [];
      // Some registries compare names without case.
      const isMet = all.some(({ name }) => globMatches(glob.toLowerCase(), name.toLowerCase()));
      const rule = { service: glob, namespace: "*" };
      return isMet
        ? []
        : [{ path, registry, message: `matches no service of registry ${registry}${similar(rule, all)}` }];
    }),
  ];
}

type Pattern = Pick<AliasRule, "registry" | "namespace" | "service" | "exclude">;

function similar({ exclude = [], ...rule }: Omit<Pattern, "registry">, all: readonly Named[]): string {
  const { namespace, service } = rule;
  if (all.length === 0) return ", which lists none";
  if (exclude.length > 0 && all.some((one) => isRuleFor(rule, one, false))) return ": all that it is for are excluded";
  const wrong = all.every((one) => !globMatches(namespace, one.namespace));
  const [word, known] = wrong
    ? [namespace, all.map((one) => one.namespace)]
    : [service, all.filter((one) => globMatches(namespace, one.namespace)).map(({ name }) => name)];
  const near = nearestNames(word, new Set(known), { letters: Math.max(word.length, 8) }); // two letters exchanged are two edits
  const what = wrong ? `no namespace matches ${word}` : `no name matches ${word}`;
  return near.length === 0 ? `: ${what}` : `: ${what}, but there is ${near.join(", ")}`;
}
