import type { WriteReport } from "../model/target.ts";
import { isInside } from "../plan/standing-stage.ts";

/** By registry, endpoints of services that a pass brought inside: from now on they are meant to go. */
export function insideEndpoints({ results }: WriteReport): ReadonlyMap<string, number> {
  const endpoints = new Map<string, number>();
  for (const { change, outcome } of results) {
    if (change.kind !== "update" || outcome !== "written" || change.object.manifest.kind !== "ServiceEntry") continue;
    if (isInside(change.standing) || !isInside(change.object)) continue;
    const { registry, manifest } = change.object;
    endpoints.set(registry, (endpoints.get(registry) ?? 0) + (manifest.spec.endpoints?.length ?? 0));
  }
  return endpoints;
}
