import { isPortName } from "../../src/istio/limits.ts";
import type { ServicePort } from "../../src/model/service.ts";
import { agreed, OWN } from "../shapes/ports.ts";

/** The two ports that an instance can have. */
const KINDS = ["plain", "secure"] as const;
export type Kind = (typeof KINDS)[number];

/** What is looked at of an instance. */
export interface Ported {
  readonly ports: Readonly<Partial<Record<Kind, number>>>;
  readonly protocol: string | undefined;
  readonly out?: unknown;
}

/** A port of the service, and which port of an instance it is. */
export interface SettledPort {
  readonly port: ServicePort;
  readonly kind: Kind;
}

/**
 * Istio takes every endpoint of a service to answer on every port of it. So the port stays that most usable instances have, and the
 * other where all that have the first have it too.
 */
export function settlePorts(
  instances: readonly Ported[],
  fallback: string | undefined,
  notes: Set<string>,
): readonly SettledPort[] {
  const usable = instances.filter(({ out }) => out === undefined);
  const counted = usable.length > 0 ? usable : instances;
  const having = (kind: Kind) => counted.filter(({ ports }) => ports[kind] !== undefined);
  const [first, second] = [...KINDS].sort((a, b) => having(b).length - having(a).length); // a stable sort: plain first
  if (first === undefined || second === undefined || having(first).length === 0) return [];
  const kept = having(first).every(({ ports }) => ports[second] !== undefined) ? [first, second] : [first];
  if (kept.length === 1 && having(second).length > 0)
    notes.add(`the ${second} port is dropped: not all instances with the ${first} one have it`);
  const settled: SettledPort[] = [];
  for (const kind of kept) {
    const number = lowest(instances, kind, settled);
    if (number === undefined) continue;
    // Eureka's clients call by URL.
    const protocol = kind === "secure" ? "HTTPS" : (agreed(OWN, counted, notes) ?? fallback ?? "HTTP");
    settled.push({ port: { name: nameFor(protocol, settled), number, protocol, observed: true }, kind });
  }
  return settled;
}

function lowest(instances: readonly Ported[], kind: Kind, settled: readonly SettledPort[]): number | undefined {
  const numbers = instances.flatMap(({ ports }) => ports[kind] ?? []).sort((a, b) => a - b);
  return numbers.find((number) => settled.every(({ port }) => port.number !== number));
}

function nameFor(protocol: string, settled: readonly SettledPort[]): string {
  const name = protocol.toLowerCase().replaceAll("_", "-");
  const isFree = settled.every(({ port }) => port.name !== name);
  return isPortName(name) && isFree ? name : "tls";
}
