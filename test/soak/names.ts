import { parseServiceKey } from "../../src/model/service.ts";
import { vipsOf } from "./calm.ts";
import { isOurs } from "./events.ts";
import type { Replica } from "./replica.ts";
import { isMainEntry } from "./witness.ts";
import type { World } from "./world.ts";

/** How long a table may be behind what its replica sees. */
const RENEWAL_MS = 200;

/**
 * (1) Every replica answers every name that it sees standing, whatever the registries and the API server do; (2) and no answer
 * of any replica leads to what another host has by now, however far behind it is.
 */
export async function checkNames(world: World): Promise<void> {
  if (world.replicas.some((replica) => unanswered(replica) !== undefined)) await world.clock.advance(RENEWAL_MS);
  for (const replica of world.replicas) {
    const name = unanswered(replica);
    if (name !== undefined) world.witness.accuse(1, `${replica.process.name} does not answer ${name}, which stands`);
  }
  const holders = new Map(
    world.api
      .objects("serviceentries")
      .filter(isOurs)
      .flatMap((entry) => vipsOf(entry).map((vip) => [vip, (entry.spec as { hosts: string[] }).hosts[0]])),
  );
  for (const { process, table } of world.replicas) {
    for (const { name, host, a } of table()?.names.values() ?? []) {
      const holder = holders.get(a[0] ?? "");
      if (holder !== undefined && holder !== host)
        world.witness.accuse(2, `${process.name} answers ${name} with ${a[0]}, which ${holder} has`);
    }
  }
}

function unanswered({ process, target, table, controller }: Replica): string | undefined {
  if (process.state !== "running" || controller() === undefined) return undefined;
  for (const { manifest, service } of target.standing().objects.values()) {
    if (!isMainEntry(manifest) || manifest.kind !== "ServiceEntry" || parseServiceKey(service ?? "") === undefined)
      continue;
    const { hosts, addresses } = manifest.spec;
    const row = table()?.names.get(hosts[0] ?? "");
    if (addresses !== undefined && row?.a.join() !== addresses.join()) return hosts[0];
  }
  return undefined;
}
