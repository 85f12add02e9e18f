import { parseServiceKey } from "../../src/model/service.ts";
import type { Kept } from "./cluster/api-server.ts";
import { isOurs } from "./events.ts";
import type { Replica, World } from "./types.ts";
import { isMainEntry } from "./witness.ts";

/** How long a table may be behind what its replica sees. */
const RENEWAL_MS = 200;
/** A watch that stalls is found out after 90 s, and then opened anew within 30. */
export const IN_TOUCH_MS = 130_000;

/**
 * (1) Every replica answers every name that it sees standing, whatever the registries and the API server do; (2) and no answer
 * leads to what another host has by now: as far as the replica can see, and in the cluster if it has been in touch with it.
 */
export async function checkNames(world: World): Promise<void> {
  const { clock, witness, replicas, api } = world;
  const isDoubtful = (replica: Replica) =>
    unanswered(replica) !== undefined || misled(replica, seenBy(replica)).length > 0;
  if (replicas.some(isDoubtful)) await clock.advance(RENEWAL_MS);
  for (const replica of replicas) {
    const name = unanswered(replica);
    if (name !== undefined) witness.accuse(1, `${replica.process.name} does not answer ${name}, which stands`);
    const isInTouch = clock.nowMs() - replica.network.lastBadMs > IN_TOUCH_MS;
    const holders = isInTouch ? holdersOf(api.objects("serviceentries").filter(isOurs)) : seenBy(replica);
    for (const answer of misled(replica, holders)) witness.accuse(2, `${replica.process.name} answers ${answer}`);
  }
}

function seenBy({ target }: Replica): ReadonlyMap<string, string> {
  const entries = [...target.standing().objects.values()].filter(({ manifest }) => isMainEntry(manifest));
  return holdersOf(
    entries.map(({ manifest, statusAddresses }) => ({
      spec: manifest.spec,
      status: { addresses: statusAddresses.map((value) => ({ value })) },
    })),
  );
}

/** The VIPs of an entry: its own, or those that Istio gave it. */
export function addressesOf({ spec, status }: Entry): readonly string[] {
  const { addresses = [] } = (spec ?? {}) as { readonly addresses?: readonly string[] };
  const { addresses: given = [] } = (status ?? {}) as { readonly addresses?: readonly { readonly value: string }[] };
  return addresses.length > 0 ? addresses : given.map(({ value }) => value);
}

type Entry = Pick<Kept, "spec" | "status">;

/** Which host has which VIP. */
function holdersOf(entries: readonly Entry[]): ReadonlyMap<string, string> {
  return new Map(
    entries.flatMap((entry) => {
      const { hosts = [] } = entry.spec as { hosts?: string[] };
      return addressesOf(entry).map((vip) => [vip, hosts[0] ?? ""] as const);
    }),
  );
}

/** Answers that lead to another host than they were given for. */
function misled({ process, table }: Replica, holders: ReadonlyMap<string, string>): readonly string[] {
  if (process.state !== "running") return [];
  return [...(table()?.names.values() ?? [])].flatMap(({ name, host, a }) => {
    const holder = holders.get(a[0] ?? "");
    return holder === undefined || holder === host ? [] : [`${name} with ${a[0]}, which ${holder} has`];
  });
}

function unanswered({ process, target, table, controller }: Replica): string | undefined {
  if (process.state !== "running" || controller() === undefined) return undefined;
  for (const { manifest, service, statusAddresses } of target.standing().objects.values()) {
    if (!isMainEntry(manifest) || manifest.kind !== "ServiceEntry" || parseServiceKey(service ?? "") === undefined)
      continue;
    const { hosts, addresses = statusAddresses } = manifest.spec;
    const row = table()?.names.get(hosts[0] ?? "");
    if (addresses.length > 0 && row?.a.join() !== addresses.join()) return hosts[0];
  }
  return undefined;
}
