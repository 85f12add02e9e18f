import type { SidecarScope } from "../../model/claim.ts";

/** A host of the mesh, and the namespace of the object that gives it. */
export interface MeshHost {
  readonly namespace: string;
  readonly host: string;
}

/** Whether a Sidecar lets its workloads see the old host and not the new one. */
export function hiddenBy(sidecar: SidecarScope, old: MeshHost, now: MeshHost): boolean {
  return sees(sidecar, old) && !sees(sidecar, now);
}

function sees({ namespace: own, egressHosts }: SidecarScope, { namespace, host }: MeshHost): boolean {
  if (egressHosts === undefined) return true;
  return egressHosts.some((text) => {
    const slash = text.indexOf("/");
    const place = text.slice(0, slash);
    const isPlace = place === "*" || place === namespace || (place === "." && own === namespace);
    return isPlace && covers(text.slice(slash + 1), host);
  });
}

/** @see istio/istio pkg/config/host/name.go: `*` is all, `*.example.org` what ends so */
function covers(pattern: string, host: string): boolean {
  if (pattern === "*" || pattern === host) return true;
  return pattern.startsWith("*") && host.endsWith(pattern.slice(1));
}
