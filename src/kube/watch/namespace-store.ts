import { fieldsOf } from "../../istio/fields.ts";
import type { MeshNamespace } from "../../model/claim.ts";
import type { Standing } from "../../model/standing.ts";
import type { RawObject } from "../client/raw.ts";
import { toMeshNamespace } from "./claims.ts";
import type { Store } from "./store.ts";

/** The namespaces that stand, and what keeps them current. */
export interface NamespaceStore extends Store {
  readonly standing: Required<Pick<Standing, "meshNamespaces">> & {
    readonly namespaces: ReadonlyMap<string, "active" | "terminating">;
  };
}

/**
 * No namespace stands.
 *
 * @param hasClaims whether it matters how a namespace takes part in the mesh
 */
export function namespaceStore(hasClaims: boolean): NamespaceStore {
  const namespaces = new Map<string, "active" | "terminating">();
  const meshNamespaces = new Map<string, MeshNamespace>();
  return {
    standing: { namespaces, meshNamespaces },
    keyOf: (raw) => raw.metadata?.name,
    put(name, raw) {
      const phase = phaseOf(raw);
      const isOther = putMesh(meshNamespaces, name, raw) && hasClaims;
      if (namespaces.get(name) === phase) return isOther;
      namespaces.set(name, phase);
      return true;
    },
    drop(name) {
      meshNamespaces.delete(name);
      return namespaces.delete(name);
    },
    keys: () => [...namespaces.keys()],
  };
}

function phaseOf({ metadata, status }: RawObject): "active" | "terminating" {
  const isEnding = metadata?.deletionTimestamp != null || fieldsOf(status).phase === "Terminating";
  return isEnding ? "terminating" : "active";
}

/** Tells whether it takes part in the mesh in another way than before. */
function putMesh(meshNamespaces: Map<string, MeshNamespace>, name: string, raw: RawObject): boolean {
  const [now, before] = [toMeshNamespace(raw), meshNamespaces.get(name)];
  if (JSON.stringify(now) === JSON.stringify(before)) return false;
  if (now === undefined) meshNamespaces.delete(name);
  else meshNamespaces.set(name, now);
  return true;
}
