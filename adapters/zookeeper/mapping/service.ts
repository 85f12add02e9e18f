import { addressAndPort } from "../../../src/istio/address.ts";
import type { LeftOut, Service, ServiceAlias } from "../../../src/model/service.ts";
import { DUPLICATE, fewNotes, type ServicePlace } from "../../mapping.ts";
import type { Instance } from "../../shapes/instance.ts";
import { toService as sharedService } from "../../shapes/service.ts";
import type { Candidate, Judged, MappingOptions } from "./candidate.ts";

/**
 * The service that registrations make; `undefined` where the operator's rules leave all of them out. Their order says nothing.
 *
 * @param said sentences of the node itself, which are notes
 */
export function toService(
  place: ServicePlace,
  judged: readonly Judged[],
  aliases: readonly ServiceAlias[],
  said: Iterable<string>,
  { rules, pool }: MappingOptions,
): Service | undefined {
  const { latest, besides } = latestOf(judged);
  const isOnlyPods = latest.length === 0 && besides.some(({ kind }) => kind === "kubernetes");
  if (latest.length === 0 && judged.length > 0 && !isOnlyPods) return undefined;
  const own = rules.of(place.name);
  const isRuled = own.apart.length > 0 || own.rest !== undefined;
  const notes = new Set(said);
  const instances = isRuled ? latest.flatMap(unnamed) : settled(joined(latest), notes);
  const service = sharedService(place, instances, besides, { pool, rules, allUnhealthy: "drop" });
  return {
    ...service,
    // Nobody configured these numbers, also where all registrations have the same one.
    ports: isRuled ? service.ports : service.ports.map((port) => ({ ...port, observed: true as const })),
    ...(aliases.length === 0 ? {} : { aliases }),
    notes: fewNotes([...notes, ...service.notes]),
  };
}

/** A program that was restarted is registered twice until the session of before is over: the later registration counts. */
function latestOf(judged: readonly Judged[]): { readonly latest: readonly Candidate[]; readonly besides: LeftOut[] } {
  const besides: LeftOut[] = [];
  const latest = new Map<string, Candidate>();
  for (const { instance, out } of judged.map((one) => ({ out: undefined, instance: undefined, ...one }))) {
    if (out !== undefined) besides.push(out);
    if (instance === undefined) continue;
    const key = placeOf(instance);
    const other = latest.get(key);
    const [kept, left] = other === undefined || isLater(instance, other) ? [instance, other] : [other, instance];
    latest.set(key, kept);
    if (left !== undefined)
      besides.push({ address: addressAndPort(left.address, left.ports[0]?.number ?? 0), ...DUPLICATE });
  }
  return { latest: [...latest.values()].sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1)), besides };
}

function isLater(one: Candidate, other: Candidate): boolean {
  if (one.atMs !== other.atMs) return one.atMs > other.atMs;
  if ((one.out === undefined) !== (other.out === undefined)) return one.out === undefined;
  return JSON.stringify(one) > JSON.stringify(other);
}

function placeOf({ address, ports }: Candidate): string {
  return JSON.stringify([address, ports.map(({ name, number }) => [name, number])]);
}

/** Where the operator says what the ports are, each is an instance's own. */
function unnamed({ ports, ...rest }: Candidate): readonly Instance[] {
  if (ports.length === 0) return [{ ...rest, ports }];
  return ports.map(({ name: _, ...port }) => ({ ...rest, ports: [port] }));
}

/** Registrations of one address, each of another port, are one instance; of one port they are several. Those not used stay apart. */
function joined(candidates: readonly Candidate[]): readonly Instance[] {
  const isUsed = ({ out }: Candidate) => out === undefined;
  return [...Map.groupBy(candidates, ({ address }) => address).values()].flatMap((ones) => {
    const columns = [...Map.groupBy(ones.filter(isUsed), ({ ports }) => ports.map(({ name }) => name).join()).values()];
    const rows = Math.max(0, ...columns.map(({ length }) => length));
    const used = Array.from({ length: rows }, (_, row): Instance[] => {
      const picked = columns.flatMap((own) => own[row % own.length] ?? []);
      const [first] = picked;
      const ports = new Map(picked.flatMap((one) => one.ports).map((port) => [port.name, port]));
      return first === undefined ? [] : [{ ...first, ports: [...ports.values()] }];
    });
    return [...used.flat(), ...ones.filter((one) => !isUsed(one))];
  });
}

/**
 * Istio takes every endpoint of a service to answer on every port of it. So the port stays that most usable instances have, and others
 * where all that have it have them too.
 */
function settled(instances: readonly Instance[], notes: Set<string>): readonly Instance[] {
  const usable = instances.filter(({ out }) => out === undefined);
  const counted = usable.length > 0 ? usable : instances;
  const counts = new Map<string, number>();
  for (const { ports } of counted) for (const { name = "" } of ports) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts.keys()].sort();
  const [first] = names.toSorted((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0));
  if (first === undefined) return instances;
  const has = ({ ports }: Instance, name: string) => ports.some((port) => port.name === name);
  const main = new Set(counted.filter((instance) => has(instance, first)));
  const isWhole = (name: string) => (counts.get(name) ?? 0) >= main.size && [...main].every((one) => has(one, name));
  const kept = names.filter(isWhole);
  for (const name of names.filter((one) => !kept.includes(one)))
    notes.add(`port ${name} is dropped: not all instances with port ${first} have it`);
  return instances.map((instance) => {
    const ports = instance.ports.filter(({ name = "" }) => kept.includes(name));
    if (instance.out !== undefined || main.has(instance)) return { ...instance, ports };
    const address = addressAndPort(instance.address, instance.ports[0]?.number ?? 0);
    return { ...instance, ports, out: { address, kind: "port", reason: `it has no port ${first}, as others have` } };
  });
}
