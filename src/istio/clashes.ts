import { canonical } from "./addresses.ts";
import { isInDomains } from "./domains.ts";
import { within } from "./ranges.ts";

/** What names and VIPs of ours can be. */
export interface ClashRules {
  /** Domains in which zones, templates and aliases give names, in lower case; `""` where a template gives any name. */
  readonly domains: readonly string[];
  /** CIDRs out of which VIPs come. */
  readonly ranges: readonly string[];
}

/** Chooses of an object of others what is worth knowing: each once, and at most {@link MOST_OF_ONE}. */
export interface Clashes {
  /** Those in our domains first: outside of them only a name that an operator wrote by hand can be the same. */
  hosts(all: readonly string[]): readonly string[];
  /** Canonical text of those that a VIP of ours can be. */
  addresses(all: readonly string[]): readonly string[];
}

/** The most hosts, and the most addresses, that are known of one object. */
export const MOST_OF_ONE = 1000;
const MOST_CHARACTERS = 253;

/** @param rules without them any name and any address may be one of ours */
export function clashes(rules?: ClashRules): Clashes {
  const domains = new Set(rules?.domains ?? [""]);
  const isIn = (host: string) => isInDomains(domains, host.toLowerCase());
  const isVip = rules === undefined ? () => true : within(rules.ranges);
  return {
    hosts(all) {
      const names = all.every(isName) ? all : all.filter(isName);
      const ours = choose(names, (host) => (isIn(host) ? host : undefined));
      if (ours.size === names.length || ours.size === MOST_OF_ONE) return [...ours];
      const others = choose(names, (host) => (ours.has(host) || isIn(host) ? undefined : host), ours.size);
      return [...ours, ...others];
    },
    addresses: (all) => [
      ...choose(all, (text) => {
        const single = text.replace(/\/(?:32|128)$/, "");
        return isVip(single) ? canonical(single) : undefined; // what is no address is in no range
      }),
    ],
  };
}

/** The first of those that count, where `known` are chosen already. */
function choose(all: readonly string[], toKept: (text: string) => string | undefined, known = 0): ReadonlySet<string> {
  const chosen = new Set<string>();
  for (const text of all) {
    if (chosen.size + known === MOST_OF_ONE) break;
    const kept = toKept(text);
    if (kept !== undefined) chosen.add(kept);
  }
  return chosen;
}

/** A longer one is no name of ours (RFC 1035 §2.3.4). */
function isName({ length }: string): boolean {
  return length <= MOST_CHARACTERS;
}
