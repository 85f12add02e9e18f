import { addressAndPort } from "../../src/istio/address.ts";
import { MAX_ENDPOINTS } from "../../src/istio/limits.ts";
import type { Endpoint, LeftOut, Service } from "../../src/model/service.ts";
import type { Intern } from "../intern.ts";
import {
  type AllUnhealthy,
  DUPLICATE,
  endpointOf,
  fewNotes,
  judgedTogether,
  MOST_LEFT_OUT,
  PAST_LIMIT,
  type ServicePlace,
} from "../mapping.ts";
import { tellApart } from "./apart.ts";
import type { Instance } from "./instance.ts";
import { type SettledPort, settlePorts } from "./ports.ts";
import type { Rules } from "./rules.ts";

/** How a service is made of its instances. */
export interface ServiceOptions {
  readonly pool: Intern;
  readonly allUnhealthy: AllUnhealthy;
  readonly rules: Rules;
  /** Set when the registry's own clients are given addresses with their ports: instances are then alike, whatever their numbers. */
  readonly numbersAlike?: true;
}

/**
 * The service that its instances make, whatever registry named them. The same instances in any order make the same.
 *
 * @param besides what was named and is no instance of it: pods, and what the operator leaves out
 */
export function toService(
  place: ServicePlace,
  instances: readonly Instance[],
  besides: readonly LeftOut[],
  { pool, allUnhealthy, rules, numbersAlike }: ServiceOptions,
): Service {
  const own = rules.of(place.name);
  const notes = new Set<string>();
  const judged = judgedTogether([...instances].sort(byPlace), allUnhealthy, notes);
  const apart = tellApart(judged, own, notes, numbersAlike);
  const settled = settlePorts(apart.instances, { rules: apart.rules, protocol: own.protocol }, notes);
  const endpoints = new Map<string, Endpoint>();
  const leftOut: LeftOut[] = [...besides].sort((a, b) => (a.address < b.address ? -1 : Number(a.address > b.address)));
  for (const instance of apart.instances) {
    for (const note of instance.notes) notes.add(note);
    const out = instance.out ?? addEndpoint(instance, settled, endpoints, notes, pool);
    if (out !== undefined && leftOut.length < MOST_LEFT_OUT) leftOut.push({ ...out, reason: pool.text(out.reason) });
  }
  const isOnlyPods = instances.length === 0 && besides.some(({ kind }) => kind === "kubernetes");
  return {
    ...place,
    ports: settled.map(({ port }) => port),
    endpoints: [...endpoints.values()],
    leftOut: leftOut.slice(0, MOST_LEFT_OUT),
    metadata: {},
    legacyNames: [],
    notes: fewNotes([...notes]),
    ...(apart.undecided === undefined ? {} : { undecided: apart.undecided }),
    ...(isOnlyPods ? { podsOnly: true as const } : {}),
  };
}

function addEndpoint(
  instance: Instance,
  settled: readonly SettledPort[],
  endpoints: Map<string, Endpoint>,
  notes: Set<string>,
  pool: Intern,
): LeftOut | undefined {
  const { address, weight, labels, region, zone, subzone } = instance;
  const overrides: [string, number][] = [];
  for (const { port, numberOn } of settled) {
    const number = numberOn(instance);
    const usual = port.targetPort ?? port.number;
    if (number === undefined) notes.add(`not every instance says where its port ${port.name} is: taken as ${usual}`);
    else if (number !== usual) overrides.push([port.name, number]);
  }
  const first = instance.ports[0]?.number ?? 0;
  const key = JSON.stringify([address, overrides]);
  const shown = addressAndPort(address, first);
  if (endpoints.has(key)) return { address: shown, ...DUPLICATE };
  if (endpoints.size >= MAX_ENDPOINTS) return { address: shown, ...PAST_LIMIT };
  const ports = overrides.length === 0 ? undefined : pool.record(Object.fromEntries(overrides));
  endpoints.set(key, endpointOf(address, { ports, weight, labels, region, zone, subzone }));
  return undefined;
}

function byPlace(a: Instance, b: Instance): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  const [one, other] = [a.ports[0]?.number ?? 0, b.ports[0]?.number ?? 0];
  return one - other || (a.id < b.id ? -1 : 1);
}
