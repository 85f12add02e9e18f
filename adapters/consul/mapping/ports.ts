import { isPortName, MAX_PORTS } from "../../../src/istio/limits.ts";
import type { ServicePort } from "../../../src/model/service.ts";
import type { Instance, InstancePort } from "./instance.ts";

/** The name of the service's own port, until its protocol is known: it comes first. */
const OWN = "";

/** A port of the service, and how to find its number on an instance. */
export interface SettledPort {
  readonly port: ServicePort;
  numberOn(instance: Instance): number | undefined;
}

/** The ports of all instances together: the service's own first, then the declared ones by name. */
export function settlePorts(instances: readonly Instance[], notes: Set<string>): readonly SettledPort[] {
  const all = Map.groupBy(
    instances.flatMap(({ ports }) => ports),
    ({ name = OWN }) => name,
  );
  const names = [...all.keys()].sort();
  const settled: SettledPort[] = [];
  const taken = new Set<number>();
  for (const key of names) {
    const found = all.get(key) ?? [];
    const protocol = agreed(key, found, notes);
    const name = key === OWN ? nameFor(protocol) : key;
    const numbers = [...new Set(found.map(({ number }) => number))].sort((a, b) => a - b);
    const number = numbers.find((one) => !taken.has(one));
    if (number === undefined || (key === OWN && all.has(name)) || settled.length >= MAX_PORTS) {
      notes.add(
        `port ${name} ${numbers[0]} is dropped: ${number === undefined ? "its number is taken" : "its name is taken"}`,
      );
      continue;
    }
    taken.add(number);
    // A number that all instances declare alike is as good as configured.
    const isDeclared = key !== OWN && numbers.length === 1;
    const port = { name, number, protocol, ...(isDeclared ? {} : { observed: true as const }) };
    settled.push({ port, numberOn: ({ ports }) => ports.find((one) => (one.name ?? OWN) === key)?.number });
  }
  return settled;
}

/** The protocol that most instances state; TCP when none does. */
function agreed(name: string, ports: readonly InstancePort[], notes: Set<string>): string {
  const votes = new Map<string, number>();
  for (const { protocol } of ports) if (protocol !== undefined) votes.set(protocol, (votes.get(protocol) ?? 0) + 1);
  const [[winner] = ["TCP"], ...others] = [...votes].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  if (others.length > 0)
    notes.add(
      `instances disagree on the protocol${name === OWN ? "" : ` of port ${name}`}: ${winner}, not ${others.map(([one]) => one).join(" or ")}`,
    );
  return winner;
}

function nameFor(protocol: string): string {
  const name = protocol.toLowerCase().replaceAll("_", "-");
  return isPortName(name) ? name : "tcp";
}
