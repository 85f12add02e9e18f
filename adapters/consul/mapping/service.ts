import { addressAndPort } from "../../../src/istio/address.ts";
import { MAX_ENDPOINTS } from "../../../src/istio/limits.ts";
import type { Endpoint, LeftOut, Service } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import {
  type AllUnhealthy,
  DUPLICATE,
  endpointOf,
  fewNotes,
  judgedTogether,
  MOST_LEFT_OUT,
  PAST_LIMIT,
  type ServicePlace,
} from "../../mapping.ts";
import type { Instance } from "./instance.ts";
import { type SettledPort, settlePorts } from "./ports.ts";

/** The service that its instances make, of one datacenter or of several. The same instances in any order make the same. */
export function toService(
  place: ServicePlace,
  instances: readonly Instance[],
  kubernetes: readonly string[],
  { pool, allUnhealthy }: { readonly pool: Intern; readonly allUnhealthy: AllUnhealthy },
): Service {
  const notes = new Set<string>();
  const sorted = judgedTogether([...instances].sort(byPlace), allUnhealthy, notes);
  const ports = settlePorts(sorted, notes);
  const endpoints = new Map<string, Endpoint>();
  const leftOut: LeftOut[] = [...kubernetes]
    .sort()
    .map((address) => ({ address, kind: "kubernetes", reason: "registered from Kubernetes" }));
  for (const instance of sorted) {
    for (const note of instance.notes) notes.add(note);
    const out = instance.out ?? addEndpoint(instance, ports, endpoints, notes, pool);
    if (out !== undefined && leftOut.length < MOST_LEFT_OUT) leftOut.push({ ...out, reason: pool.text(out.reason) });
  }
  return {
    ...place,
    ports: ports.map(({ port }) => port),
    endpoints: [...endpoints.values()],
    leftOut,
    metadata: {},
    legacyNames: [],
    notes: fewNotes([...notes]),
  };
}

function addEndpoint(
  instance: Instance,
  settled: readonly SettledPort[],
  endpoints: Map<string, Endpoint>,
  notes: Set<string>,
  pool: Intern,
): LeftOut | undefined {
  const { address, weight, labels, region, zone } = instance;
  const overrides: [string, number][] = [];
  for (const { port, numberOn } of settled) {
    const number = numberOn(instance);
    if (number === undefined)
      notes.add(`not every instance says where its port ${port.name} is: taken as ${port.number}`);
    else if (number !== port.number) overrides.push([port.name, number]);
  }
  const first = instance.ports[0]?.number ?? 0;
  const key = JSON.stringify([address, overrides]);
  const shown = addressAndPort(address, first);
  if (endpoints.has(key)) return { address: shown, ...DUPLICATE };
  if (endpoints.size >= MAX_ENDPOINTS) return { address: shown, ...PAST_LIMIT };
  const ports = overrides.length === 0 ? undefined : pool.record(Object.fromEntries(overrides));
  endpoints.set(key, endpointOf(address, { ports, weight, labels, region, zone }));
  return undefined;
}

function byPlace(a: Instance, b: Instance): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  const [one, other] = [a.ports[0]?.number ?? 0, b.ports[0]?.number ?? 0];
  return one - other || (a.id < b.id ? -1 : 1);
}
