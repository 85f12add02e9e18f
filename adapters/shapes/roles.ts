import { shorten } from "../text.ts";
import { portNameOf } from "./protocol.ts";
import { type PortRule, portRuleFor, type ServiceRules } from "./rules.ts";

/** A registration of one port, by which it is told which of its service's ports it is. */
export interface Registration {
  readonly address: string;
  /** 0 where it has none. */
  readonly number: number;
  /** As it states for itself, in the model's words. */
  readonly protocol: string | undefined;
  readonly tags: readonly string[];
  readonly meta: Readonly<Record<string, string>>;
}

/** One of several ports that instances of a service have each. */
export interface Role {
  readonly name: string;
  readonly rule?: PortRule | undefined;
}

/** What the registrations of one service are to each other. */
export type Roles =
  /** Instances of one port, on whatever number each is. */
  | { readonly state: "alike" }
  /** Each is one of several ports; without a role, no rule says which. */
  | { readonly state: "apart"; readonly roles: readonly (Role | undefined)[] }
  | { readonly state: "undecided"; readonly why: string };

const ALIKE: Roles = { state: "alike" };
/** More are no ports of a program: each would be written with every endpoint. */
const MOST_ROLES = 32;

/**
 * Which port each registration is of.
 *
 * A program with several ports may register each of them by the service's name (Nomad: `http`, `rpc` and `serf`); a program that runs
 * twice on a machine registers two numbers as well. The operator's rules count first. Without them, tags tell ports apart where each
 * has one number on all addresses, or all addresses have all of them. Where the same numbers are on several addresses and nothing
 * tells them apart, nobody can say which of the two it is.
 *
 * @param numbersAlike whether the registry's clients take numbers for instances of one port all the same
 */
export function rolesOf(registrations: readonly Registration[], rules: ServiceRules, numbersAlike = false): Roles {
  if (rules.apart.length > 0) return { state: "apart", roles: registrations.map((one) => ruledRole(one, rules)) };
  if (rules.rest !== undefined) return ALIKE;
  const withPort = registrations.filter(({ number }) => number > 0);
  if (!someHasSeveral(withPort)) return ALIKE;
  const roles =
    partBy(withPort, ({ tags }) => tags.flatMap((tag) => portNameOf(tag) ?? [])) ?? partByProtocol(withPort);
  if (roles === undefined)
    return !numbersAlike && isOfSeveralPorts(withPort) ? { state: "undecided", why: whyUndecided(withPort) } : ALIKE;
  return {
    state: "apart",
    roles: registrations.map((one) => {
      const name = roles.get(one);
      return name === undefined ? undefined : { name };
    }),
  };
}

function ruledRole(one: Registration, rules: ServiceRules): Role | undefined {
  const rule = portRuleFor(rules, one, one.number);
  if (rule === undefined) return undefined;
  const { name, tag, registered, number = registered } = rule;
  const spoken = rule.protocol?.toLowerCase().replace(/^metaprotocol-/, "") ?? "port";
  return {
    rule,
    name: name ?? portNameOf(tag ?? "") ?? (number === undefined ? (portNameOf(spoken) ?? "port") : `p${number}`),
  };
}

function numbersByAddress(registrations: readonly Registration[]): ReadonlyMap<string, ReadonlySet<number>> {
  const numbers = new Map<string, Set<number>>();
  for (const { address, number } of registrations) {
    const own = numbers.get(address);
    if (own === undefined) numbers.set(address, new Set([number]));
    else own.add(number);
  }
  return numbers;
}

function someHasSeveral(registrations: readonly Registration[]): boolean {
  return [...numbersByAddress(registrations).values()].some(({ size }) => size > 1);
}

/** What of one token is known: on which registrations it is, and whether it can be the name of a port. */
interface Token {
  readonly name: string;
  readonly on: readonly Registration[];
  readonly numbers: number;
}

/**
 * A name for each registration, of those that `namesOf` gives: one name has one number on each address. Those that have the same number
 * everywhere come first, then those of the most registrations: `leader`, which one of them has, is no port.
 */
function partBy(
  registrations: readonly Registration[],
  namesOf: (one: Registration) => readonly string[],
): ReadonlyMap<Registration, string> | undefined {
  const byName = new Map<string, Registration[]>();
  for (const one of registrations)
    for (const name of new Set(namesOf(one))) {
      const on = byName.get(name);
      if (on === undefined) byName.set(name, [one]);
      else on.push(one);
    }
  const tokens = [...byName].flatMap(([name, on]): Token[] => {
    if ([...numbersByAddress(on).values()].some(({ size }) => size > 1)) return [];
    return [{ name, on, numbers: new Set(on.map(({ number }) => number)).size }];
  });
  tokens.sort((a, b) => a.numbers - b.numbers || b.on.length - a.on.length || (a.name < b.name ? -1 : 1));
  const found = new Map<Registration, string>();
  const used: Token[] = [];
  for (const token of tokens) {
    if (token.on.some((one) => found.has(one))) continue;
    for (const one of token.on) found.set(one, token.name);
    used.push(token);
  }
  const isWhole = found.size === registrations.length && used.length > 1 && used.length <= MOST_ROLES;
  return isWhole && arePorts(registrations, found, used) ? found : undefined;
}

/** Each of them has one number, no two the same, and they are on most addresses; or most addresses have all of them, whatever the numbers. */
function arePorts(
  registrations: readonly Registration[],
  found: ReadonlyMap<Registration, string>,
  used: readonly Token[],
): boolean {
  const places = new Map<string, Map<string, number>>();
  for (const one of registrations) {
    const own = places.get(one.address) ?? new Map<string, number>();
    places.set(one.address, own.set(found.get(one) ?? "", one.number));
  }
  // Two ports of one number on one address: what parts them is no port.
  if ([...places.values()].some((own) => new Set(own.values()).size < own.size)) return false;
  const isFixed = used.every(({ numbers }) => numbers === 1);
  const isOwn = new Set(used.map(({ on }) => on[0]?.number)).size === used.length;
  const whole = [...places.values()].filter(({ size }) => size === used.length).length;
  const isUsual = used.every(({ on }) => new Set(on.map(({ address }) => address)).size * 2 >= places.size);
  return whole * 2 > places.size || (whole > 0 && isFixed && isOwn && isUsual);
}

/** By what each states of itself: where all state a protocol, these are ports. */
function partByProtocol(registrations: readonly Registration[]): ReadonlyMap<Registration, string> | undefined {
  if (registrations.some(({ protocol }) => protocol === undefined)) return undefined;
  return partBy(registrations, ({ protocol = "" }) => [portNameOf(protocol.replace(/^metaprotocol-/, "")) ?? "tcp"]);
}

/**
 * Whether numbers are those of a program's ports, and not what a scheduler happened to give: of those that share an address, at least
 * half are on another address too.
 */
function isOfSeveralPorts(registrations: readonly Pick<Registration, "address" | "number">[]): boolean {
  const addresses = new Map<number, Set<string>>();
  const numbers = new Map<string, Set<number>>();
  for (const { address, number } of registrations) {
    addresses.set(number, (addresses.get(number) ?? new Set<string>()).add(address));
    numbers.set(address, (numbers.get(address) ?? new Set<number>()).add(number));
  }
  const crowded = [...numbers.values()].filter(({ size }) => size > 1).flatMap((own) => [...own]);
  const shared = crowded.filter((number) => (addresses.get(number)?.size ?? 0) > 1);
  return crowded.length > 0 && shared.length * 2 >= crowded.length;
}

/** The sentence for a service of which nobody can tell which port is which. */
function whyUndecided(registrations: readonly Pick<Registration, "number">[]): string {
  const numbers = [...new Set(registrations.map(({ number }) => number))].sort((a, b) => a - b);
  const some = numbers.slice(0, 4).join(", ") + (numbers.length > 4 ? ", …" : "");
  return shorten(
    `its instances have the ports ${some} on the same addresses, and nothing tells which is which: name each in the registry's option ports, by tag, meta or registered, or say by one rule without these that all are instances of one port`,
    400,
  );
}
