import { rfc3339 } from "../../model/rfc3339.ts";
import { namesOn } from "./holders.ts";
import { legacyClash } from "./name-clashes.ts";
import type { LegacyName, WishedName } from "./naming.ts";
import { hold, type Named, type NamingState } from "./naming-state.ts";
import { unreadName } from "./wishes.ts";

const NO_NAMES: readonly never[] = [];
/** Of one service: twice 253 characters each fit into an object. */
const MOST_LEGACY_NAMES = 500;

/** The legacy names that a service has from now on. */
export function giveLegacyNames(state: NamingState, named: Named): readonly LegacyName[] {
  const { key, wishes, host } = named;
  const entry = state.standing.entries.get(key);
  const before = entry === undefined ? NO_NAMES : namesOn(entry, state.memory);
  const stood = new Map(before.map((one) => [one.name, one]));
  const unread = before.filter(({ name }) => isKept(state, named, name)).map(({ name }) => unreadName(name));
  if (wishes.legacyNames.length + unread.length === 0) return NO_NAMES;
  const all: readonly (LegacyName & Pick<WishedName, "fault" | "refusal">)[] =
    unread.length === 0 ? wishes.legacyNames : inStandingOrder([...wishes.legacyNames, ...unread], [...stood.keys()]);
  const given: LegacyName[] = [];
  for (const { name, dnsOnly, fault, refusal } of withinLimit(state, named, all, stood)) {
    if (fault !== undefined || name === host) continue;
    const holder = state.holders.names.get(name);
    if (refusal !== undefined) {
      hold(state, named, { reason: "invalid", subject: name, message: `legacy name ${name} withheld: ${refusal}` });
      continue;
    }
    if (named.barred !== undefined && !stood.has(name) && (holder === undefined || holder === key)) continue;
    const clash = legacyClash(state, key, name, host);
    if (clash !== undefined) {
      hold(state, named, { reason: "name", subject: name, message: `legacy name ${name} withheld: ${clash}` });
      continue;
    }
    const since = take(state, named, name) && !stood.has(name) ? rfc3339(state.nowMs) : stood.get(name)?.since;
    given.push({ name, ...(dnsOnly === undefined ? {} : { dnsOnly }), ...(since === undefined ? {} : { since }) });
  }
  return given;
}

/** Give a host or legacy name to a service; tells whether it stands on another one's entry, too. */
export function take(
  { holders, moves }: Pick<NamingState, "holders" | "moves">,
  { key }: Pick<Named, "key">,
  name: string,
): boolean {
  holders.names.set(name, key);
  const others = (holders.stood.get(name) ?? NO_NAMES).filter((other) => other !== key);
  for (const from of others) moves.push({ kind: "name", name, from, to: key });
  return others.length > 0;
}

/** Whoever makes aliases of a service in its registry could else make an entry too large to be written: those that stand come first. */
function withinLimit<Name extends LegacyName & { readonly fault?: string | undefined }>(
  state: NamingState,
  named: Named,
  all: readonly Name[],
  stood: ReadonlyMap<string, unknown>,
): readonly Name[] {
  if (all.length <= MOST_LEGACY_NAMES) return all;
  const { key } = named;
  const usable = all.filter(({ fault }) => fault === undefined);
  const inTurn = [...usable.filter(({ name }) => stood.has(name)), ...usable.filter(({ name }) => !stood.has(name))];
  const over = new Set(inTurn.slice(MOST_LEGACY_NAMES));
  if (over.size === 0) return usable;
  const message = `${over.size} of ${usable.length} legacy names of ${key} are withheld: a service has at most ${MOST_LEGACY_NAMES}`;
  hold(state, named, { reason: "limit", subject: key, message });
  return usable.filter((name) => !over.has(name));
}

/** In the order in which they stand, so that nothing is written. */
function inStandingOrder<Name extends LegacyName>(names: readonly Name[], before: readonly string[]): readonly Name[] {
  const place = ({ name }: Name) => before.indexOf(name) + 1 || names.length + 1;
  return names.toSorted((a, b) => place(a) - place(b));
}

/**
 * Whether a name that stands and that nothing gives to its service in this pass stays: it may be of an alias, or a member, that could not be
 * read, or is to go to a service that cannot take it yet.
 */
function isKept(
  { kept, wished, awaited }: NamingState,
  { service: { registry, isPartial }, wishes }: Named,
  name: string,
): boolean {
  if (wishes.legacyNames.some((one) => one.name === name)) return false;
  if (isPartial === true) return true;
  return !wished().has(name) && (kept.mayBeOfAlias(registry, name) || awaited().has(name));
}
