import { MAX_PORTS } from "../../src/istio/limits.ts";
import type { ServicePort } from "../../src/model/service.ts";
import type { Instance, InstancePort } from "./instance.ts";
import { protocolName } from "./protocol.ts";
import type { PortRule } from "./rules.ts";

/** The name of the service's own port, until its protocol is known: it comes first. */
export const OWN = "";

/** A port of the service, and how to find its number on an instance. */
export interface SettledPort {
  readonly port: ServicePort;
  numberOn(instance: Instance): number | undefined;
}

/** What the operator says of ports. */
export interface PortsSaid {
  /** By the port's name among instances; {@link OWN} for the one that has none. */
  readonly rules: ReadonlyMap<string, PortRule>;
  /** Of ports whose protocol nobody states. */
  readonly protocol: string | undefined;
}

/** A port before it has its number. */
interface Wanted {
  readonly key: string;
  readonly name: string;
  readonly protocol: string;
  /** On instances, ascending. */
  readonly numbers: readonly number[];
  readonly rule: PortRule | undefined;
  /** Configured, or what all instances declare alike, which is as good. */
  readonly fixed: number | undefined;
}

/** The ports of all instances together: the service's own first, then the declared ones by name. */
export function settlePorts(
  instances: readonly Instance[],
  said: PortsSaid,
  notes: Set<string>,
): readonly SettledPort[] {
  const all = Map.groupBy(
    instances.flatMap(({ ports }) => ports),
    ({ name = OWN }) => name,
  );
  const keys = [...all.keys()].sort();
  if (keys.length > MAX_PORTS) notes.add(`of ${keys.length} ports ${MAX_PORTS} are kept`);
  const wanted = keys.slice(0, MAX_PORTS).map((key) => wantedPort(key, all, said, notes));
  const numbers = numbered(wanted, notes);
  const settled = wanted.map((one): SettledPort => {
    const number = numbers.get(one) ?? 0;
    const observed = number === one.fixed ? {} : { observed: true as const };
    return {
      port: { name: one.name, number, protocol: one.protocol, ...observed },
      numberOn: ({ ports }) => ports.find(({ name = OWN }) => name === one.key)?.number,
    };
  });
  return withoutClashes([...settled, ...furtherPorts(wanted, settled, notes)].slice(0, MAX_PORTS), instances);
}

function wantedPort(
  key: string,
  all: ReadonlyMap<string, readonly InstancePort[]>,
  { rules, protocol: fallback }: PortsSaid,
  notes: Set<string>,
): Wanted {
  const found = all.get(key) ?? [];
  const rule = rules.get(key);
  const stated = rule?.protocol ?? agreed(key, found, notes);
  if (stated === undefined && fallback !== undefined)
    notes.add(`no instance states a protocol: ${fallback}, as protocols of the registry says`);
  const protocol = stated ?? fallback ?? "TCP";
  const own = rule?.name ?? protocolName(protocol);
  const numbers = [...new Set(found.map(({ number }) => number))].sort((a, b) => a - b);
  const declared = key !== OWN && numbers.length === 1 ? numbers[0] : undefined;
  const name = key !== OWN ? key : all.has(own) ? `${own}-service` : own;
  return { key, name, protocol, numbers, rule, fixed: rule?.number ?? declared };
}

/** A number for each port: what is configured or declared by all first, then the lowest that instances have and no other port does. */
function numbered(wanted: readonly Wanted[], notes: Set<string>): ReadonlyMap<Wanted, number> {
  const taken = new Map<number, Wanted>();
  const numbers = new Map<Wanted, number>();
  const give = (one: Wanted, number: number | undefined) => {
    if (number === undefined || taken.has(number) || numbers.has(one)) return;
    taken.set(number, one);
    numbers.set(one, number);
  };
  for (const one of wanted) if (one.rule !== undefined) give(one, one.fixed);
  for (const one of wanted) give(one, one.fixed);
  for (const one of wanted) for (const number of one.numbers) give(one, number);
  const used = new Set(wanted.flatMap((one) => one.numbers));
  for (const one of wanted) {
    const [first = 1] = one.numbers;
    const before = one.fixed ?? first;
    if (!numbers.has(one))
      notes.add(`port ${one.name} cannot be ${before}, which is the number of port ${taken.get(before)?.name}`);
    for (let free = first; !numbers.has(one) && free < first + 65_535; free++)
      if (!used.has(((free - 1) % 65_535) + 1)) give(one, ((free - 1) % 65_535) + 1);
  }
  return numbers;
}

/** Numbers by which the operator wants a port to be reached too, as it was before. */
function furtherPorts(wanted: readonly Wanted[], settled: readonly SettledPort[], notes: Set<string>): SettledPort[] {
  const taken = new Set(settled.map(({ port }) => port.number));
  return wanted.flatMap(({ rule }, at) => {
    const main = settled[at];
    return (rule?.also ?? []).flatMap((number): SettledPort[] => {
      if (main === undefined || number === main.port.number) return [];
      if (taken.has(number)) notes.add(`${rule?.place} cannot give the port ${number}, which is another's`);
      if (taken.has(number)) return [];
      taken.add(number);
      const { name, protocol } = main.port;
      return [{ port: { name: `${name}-p${number}`.slice(-62), number, protocol }, numberOn: main.numberOn }];
    });
  });
}

/**
 * Istio calls a port's own number on endpoints that name none. Where that is another port's number there, such calls are led to a number
 * on which nobody is: they must not reach what was not asked for.
 */
function withoutClashes(settled: readonly SettledPort[], instances: readonly Instance[]): readonly SettledPort[] {
  if (settled.length < 2) return settled;
  const used = new Set([
    ...settled.map(({ port }) => port.number),
    ...instances.flatMap(({ ports }) => ports.map(({ number }) => number)),
  ]);
  let nobody = 1;
  while (used.has(nobody)) nobody++;
  // Also what is registered there and not used.
  const numbers = new Map<string, Set<number>>();
  for (const { address, ports } of instances) {
    const own = numbers.get(address) ?? new Set<number>();
    numbers.set(address, own);
    for (const { number } of ports) own.add(number);
  }
  const clashing = new Set<SettledPort>();
  for (const instance of instances)
    for (const one of instance.out === undefined ? settled : [])
      if (one.numberOn(instance) === undefined && numbers.get(instance.address)?.has(one.port.number) === true)
        clashing.add(one);
  return settled.map((one) => (clashing.has(one) ? { ...one, port: { ...one.port, targetPort: nobody } } : one));
}

/** The protocol that most instances state of a port, which may be their {@link OWN}; `undefined` when none does. */
export function agreed(
  name: string,
  ports: readonly { readonly protocol?: string | undefined }[],
  notes: Set<string>,
): string | undefined {
  const votes = new Map<string, number>();
  for (const { protocol } of ports) if (protocol !== undefined) votes.set(protocol, (votes.get(protocol) ?? 0) + 1);
  const [winner, ...others] = [...votes].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).map(([one]) => one);
  if (others.length > 0)
    notes.add(
      `instances disagree on the protocol${name === OWN ? "" : ` of port ${name}`}: ${winner}, not ${others.join(" or ")}`,
    );
  return winner;
}
