import type { StandingObject } from "../model/standing.ts";

/** Istio's own range, which ours never overlap. */
const ISTIO_RANGE = "240.240.";

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
  return addresses.every((address) => address.startsWith(ISTIO_RANGE)) ? addresses : NONE;
}
