import type { LeftOut } from "../../src/model/service.ts";
import type { Instance, InstancePort } from "./instance.ts";
import { OWN } from "./ports.ts";
import { protocolOfPort } from "./protocol.ts";
import { type Role, rolesOf } from "./roles.ts";
import type { PortRule, ServiceRules } from "./rules.ts";

/** Instances whose ports are told apart, one for each endpoint. */
export interface Apart {
  readonly instances: readonly Instance[];
  /** What the operator says of ports, by their names; of the one without a name by {@link OWN}. */
  readonly rules: ReadonlyMap<string, PortRule>;
  readonly undecided?: string;
}

/** Tell the instances' own ports apart, and join those of one address: each endpoint then has all its ports. Sorted by address. */
export function tellApart(
  instances: readonly Instance[],
  rules: ServiceRules,
  notes: Set<string>,
  numbersAlike = false,
): Apart {
  const roles = rolesOf(
    instances.map(({ address, ports, tags, meta }) => {
      const own = ports.find(({ name }) => name === undefined);
      return { address, number: own?.number ?? 0, protocol: own?.protocol, tags, meta };
    }),
    rules,
    numbersAlike,
  );
  if (roles.state === "undecided") return { instances, rules: new Map(), undecided: roles.why };
  if (roles.state === "alike") {
    const { rest } = rules;
    if (rest !== undefined) notes.add(`${rest.place} of the registry says what its port is`);
    return { instances, rules: new Map(rest === undefined ? [] : [[OWN, rest]]) };
  }
  const said = new Map<string, PortRule>();
  const named = instances.map((instance, at) => {
    const role = roles.roles[at];
    if (role?.rule !== undefined) {
      said.set(role.name, role.rule);
      notes.add(`${role.rule.place} of the registry says which instances are of port ${role.name}`);
    }
    return withRole(instance, role, rules);
  });
  return { instances: joined(named), rules: said };
}

function withRole(instance: Instance, role: Role | undefined, { apart }: ServiceRules): Instance {
  const { ports, meta } = instance;
  const own = ports.find(({ name }) => name === undefined);
  if (own === undefined) return instance;
  const declared = ports.filter(({ name }) => name !== undefined);
  if (role === undefined) {
    if (apart.length === 0) return instance;
    const out: LeftOut = {
      address: instance.address,
      kind: "port",
      reason: "no rule in ports of the registry says which port it is",
    };
    return {
      ...instance,
      ports: declared,
      out: instance.out ?? { ...out, address: `${instance.address}:${own.number}` },
    };
  }
  const { name } = role;
  const more: string[] = [];
  const protocol = protocolOfPort(name, meta, more) ?? own.protocol;
  const port: InstancePort = { name, number: own.number, ...(protocol === undefined ? {} : { protocol }) };
  const others = declared.filter((one) => one.name !== name);
  return { ...instance, ports: [port, ...others], notes: [...instance.notes, ...more] };
}

/** One instance for each endpoint: those of one address, each of another port, are one. Those that are not used stay beside it. */
function joined(instances: readonly Instance[]): readonly Instance[] {
  return [...Map.groupBy(instances, ({ address }) => address).values()].flatMap((ones) => {
    const unused = ones.filter(({ out }) => out !== undefined);
    return unused.length === ones.length ? unused : [...endpointsAt(ones), ...unused];
  });
}

/** As many as the port of the most instances has. An address is called on all its ports as soon as it is on one, as its clients did. */
function endpointsAt(ones: readonly Instance[]): readonly Instance[] {
  const isUsed = ({ out }: Instance) => out === undefined;
  const portOf = ({ ports: [first] }: Instance) => first?.name ?? OWN;
  const columns = [...Map.groupBy(ones, portOf)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, all]) => {
      const own = all.filter(isUsed);
      return own.length > 0 ? own : all;
    });
  const rows = Math.max(...columns.map((own) => own.filter(isUsed).length));
  return Array.from({ length: rows }, (_, row): Instance[] => {
    const picked = columns.flatMap((own) => own[row % own.length] ?? []);
    const usable = picked.filter(isUsed);
    const [first] = usable;
    if (first === undefined) return [];
    const ports = new Map(
      picked
        .flatMap((one) => one.ports)
        .toReversed()
        .map((port) => [port.name ?? OWN, port]),
    );
    const weights = usable.flatMap(({ weight }) => weight ?? []);
    const weight = weights.length === 0 ? {} : { weight: Math.max(...weights) };
    return [{ ...first, ...weight, ports: [...ports.values()].toReversed() }];
  }).flat();
}
