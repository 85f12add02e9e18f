import type { Clock } from "../clock.ts";
import type { Kept } from "./api-server.ts";

/** What Istio's controller needs a while for. */
const ALLOCATION_MS = 200;

/** Gives entries without addresses one in their status, as Istio's allocator does. Told of every object that is kept. */
export function istioVips(clock: Clock, give: (entry: Kept, address: string) => void): (object: Kept) => void {
  const given = new Map<string, string>();
  return (object) => {
    const { kind, metadata, spec, status } = object as Kept & { readonly status?: { readonly addresses?: unknown } };
    const { addresses = [] } = (spec ?? {}) as { readonly addresses?: readonly string[] };
    const isOff = metadata.labels?.["networking.istio.io/enable-autoallocate-ip"] === "false";
    if (kind !== "ServiceEntry" || addresses.length > 0 || status?.addresses !== undefined || isOff) return;
    const uid = metadata.uid ?? "";
    if (given.has(uid)) return;
    const address = `240.240.${(given.size >> 8) & 255}.${given.size & 255}`;
    given.set(uid, address);
    clock.after(ALLOCATION_MS, undefined, () => give(object, address));
  };
}
