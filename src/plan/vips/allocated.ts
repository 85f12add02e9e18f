import { ISTIO_VIP_RANGES } from "../../istio/ranges.ts";
import type { StandingObject } from "../../model/standing.ts";

/** How addresses out of Istio's own range begin, which ours never overlap. */
const ISTIO_PREFIX = ISTIO_VIP_RANGES.v4.replace("0.0/16", "");

const NONE: readonly string[] = [];

/**
 * Addresses on an entry of ours that somebody else's allocator gave it. To take them off would be to fight over them: Aeraki
 * gives every entry without an address one out of Istio's range.
 *
 * @see aeraki-mesh/aeraki internal/controller/kube/serviceentry.go
 */
export function allocatedByOthers(object: StandingObject | undefined): readonly string[] {
  if (object?.manifest.kind !== "ServiceEntry") return NONE;
  const { addresses = NONE } = object.manifest.spec;
  return addresses.every((address) => address.startsWith(ISTIO_PREFIX)) ? addresses : NONE;
}
