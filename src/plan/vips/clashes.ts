import { inSlices, type Sliced } from "../../async/slices.ts";
import { canonical } from "../../istio/addresses.ts";
import { clashes, MOST_OF_ONE } from "../../istio/clashes.ts";
import { type ObjectKey, objectKey } from "../../model/objects.ts";
import type { Hold } from "../../model/plan.ts";
import { registryOfKey, type ServiceKey } from "../../model/service.ts";
import type { ForeignObject, Standing } from "../../model/standing.ts";

/** Addresses that others have, and that no new VIP should be. What a Service only asks for is not among them. */
export function foreignAddresses({ foreign }: Pick<Standing, "foreign">): ReadonlySet<string> {
  const taken = new Set<string>();
  for (const { addresses } of foreign.values())
    for (const raw of addresses) {
      const address = canonical(raw);
      if (address !== undefined) taken.add(address);
    }
  return taken;
}

interface Victim {
  readonly address: string;
  readonly host: string;
  readonly service: ServiceKey;
}

/**
 * A hold for each object of someone else that has or asks for VIPs of ours. The VIPs stay, and their services go on. Of
 * several objects that claim one VIP the first by key is named, so that there are no more holds than VIPs. Of an object that claims more
 * addresses than are known of one, it is not known which VIPs are among them: it has a hold for that.
 *
 * @param ranges out of which VIPs come
 */
export function* vipClashes(
  { foreign }: Pick<Standing, "foreign">,
  ranges: readonly string[],
  hosts: ReadonlyMap<string, ServiceKey>,
  vips: ReadonlyMap<string, readonly string[]>,
): Sliced<readonly Hold[]> {
  const rivals = yield* findRivals(foreign, ranges, yield* victimsOf(hosts, vips));
  const holds: Hold[] = [];
  for (const [key, claims] of [...rivals].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const rival = foreign.get(key);
    if (rival !== undefined) holds.push(holdOf(key, rival, claims));
  }
  return holds;
}

function* victimsOf(
  hosts: ReadonlyMap<string, ServiceKey>,
  vips: ReadonlyMap<string, readonly string[]>,
): Sliced<ReadonlyMap<string, Victim>> {
  const victims = new Map<string, Victim>();
  yield* inSlices(vips, ([host, addresses]) => {
    for (const address of addresses) victims.set(address, { address, host, service: hosts.get(host) ?? "" });
  });
  return victims;
}

interface Claims {
  readonly victims: Victim[];
  /** It claims more addresses of the ranges than are known of one object. */
  readonly isMany: boolean;
}

/** By object, the VIPs that it claims, each with whose it is. */
function* findRivals(
  foreign: Standing["foreign"],
  ranges: readonly string[],
  victims: ReadonlyMap<string, Victim>,
): Sliced<ReadonlyMap<ObjectKey, Claims>> {
  const claimants = new Map<string, ObjectKey>();
  const rivals = new Map<ObjectKey, Claims>();
  const ofRanges = clashes({ domains: [], ranges });
  yield* inSlices(foreign.values(), ({ kind, namespace, name, addresses, askedAddresses = [] }) => {
    if (addresses.length + askedAddresses.length === 0) return;
    const key = objectKey(kind, namespace, name);
    const isMany = [addresses, askedAddresses].some(
      (list) => list.length >= MOST_OF_ONE && ofRanges.addresses(list).length >= MOST_OF_ONE,
    );
    if (isMany) rivals.set(key, { victims: [], isMany });
    for (const raw of [...addresses, ...askedAddresses]) {
      const address = canonical(raw);
      if (address === undefined || !victims.has(address)) continue;
      const other = claimants.get(address);
      if (other === undefined || key < other) claimants.set(address, key);
    }
  });
  for (const [address, victim] of victims) {
    const key = claimants.get(address);
    if (key === undefined) continue;
    const others = rivals.get(key);
    if (others === undefined) rivals.set(key, { victims: [victim], isMany: false });
    else others.victims.push(victim);
  }
  return rivals;
}

function holdOf(key: ObjectKey, rival: ForeignObject, { victims, isMany }: Claims): Hold {
  const [first, ...more] = victims.toSorted((a, b) => (a.host < b.host ? -1 : 1));
  const which = first === undefined ? "" : `VIP ${first.address} of ${first.host}`;
  const many = `${MOST_OF_ONE} or more addresses that VIPs come from${first === undefined ? "" : ", such as "}${which}`;
  const what = isMany ? many : more.length === 0 ? which : `${victims.length} VIPs, such as ${which}`;
  const services = [...new Set(victims.flatMap(({ service }) => (service === "" ? [] : service)))].sort();
  return {
    reason: "address",
    subject: key,
    service: services.length === 1 ? services[0] : undefined,
    services,
    registry: registryOfKey(services[0] ?? ""),
    message: `${rival.kind} ${rival.namespace}/${rival.name} also claims ${what}; what X2Istio gave stays: remove it there`,
    regarding: key,
  };
}
