import { type Check, whenKnown } from "../check.ts";
import type { Finding } from "../finding.ts";
import { counted, shellWord, someOf } from "../text.ts";
import { aliasRules } from "./alias-rules.ts";

const check = "names";
/** The rest is counted. */
const MOST_SHOWN = 10;

/** A name or alias that someone else has, or is also Kubernetes' `service.namespace`, is withheld; whoever uses it should know. */
export const names: Check = (facts, settings, installation) => [
  ...templates(settings),
  ...aliasRules(facts, settings, installation),
  ...nameFindings(facts.version, settings, installation),
];

/** They are in the configuration, whatever can be read. */
function templates({ templateWarnings = [], file }: Parameters<Check>[1]): readonly Finding[] {
  return templateWarnings.map(({ registry, message }) => ({
    check,
    state: "warning",
    message: `registry ${registry}: ${message}`,
    fix: `in ${file} end the template in a zone of dns.zones that is ours, or make sure who may register services`,
  }));
}

function nameFindings(
  version: Parameters<Check>[0]["version"],
  { file }: Parameters<Check>[1],
  installation: Parameters<Check>[2],
): readonly Finding[] {
  return whenKnown(check, { installation }, (known): readonly Finding[] => {
    const { clashes, unread, aliasHosts, names: all } = known.installation;
    const config = `--config ${shellWord(file)}`;
    const more = clashes.length - MOST_SHOWN;
    const found: readonly Finding[] = [
      ...clashes.slice(0, MOST_SHOWN).map(
        ({ name, message }): Finding => ({
          check,
          state: "problem",
          message,
          fix: `x2istio explain ${shellWord(name)} ${config}, then remove the name from one of the two`,
        }),
      ),
      ...(more > 0
        ? [
            {
              check,
              state: "problem",
              message: `${counted(more, "further name")} ${more === 1 ? "clashes" : "clash"}`,
              fix: `x2istio plan ${config}`,
            } as const,
          ]
        : []),
      ...(version.known ? digitsFirst([...aliasHosts.keys()], version.value, file) : []),
      ...unread.map((message): Finding => ({ check, state: "unchecked", message: `could not be checked: ${message}` })),
    ];
    if (found.length > 0) return found;
    return [{ check, state: "fine", message: `none of ${counted(all.length, "name")} is held by anyone else` }];
  });
}

/** Services may be named so since Kubernetes 1.36 (RelaxedServiceNameValidation). */
const DIGITS_FIRST_MINOR = 36;

function digitsFirst(aliases: readonly string[], version: string, file: string): readonly Finding[] {
  const [, minor] = /^v1\.(\d+)/.exec(version) ?? [];
  const refused = aliases.filter((alias) => /\/\d/.test(alias)).sort();
  if (minor === undefined || Number(minor) >= DIGITS_FIRST_MINOR || refused.length === 0) return [];
  return [
    {
      check,
      state: "problem",
      message: `${counted(refused.length, "alias name")} ${refused.length === 1 ? "begins" : "begin"} with a digit, which Kubernetes ${version} refuses (1.${DIGITS_FIRST_MINOR} accepts it): ${someOf(refused)}`,
      fix: `in ${file} write as: "s-{service}", or the like, in a rule of aliases for them`,
    },
  ];
}
