import { randomUUID } from "node:crypto";
import type { RawObject } from "../../src/kube/client/raw.ts";
import { type ClusterState, clusterState } from "../../src/kube/watch/state.ts";
import { API_VERSIONS, type OwnedObject } from "../../src/model/objects.ts";
import type { LedgerWrite } from "../../src/model/target.ts";
import { NAMESPACE } from "./fixture.ts";

/** What `src/kube` keeps of a cluster, without the cluster. */
export interface MemoryCluster {
  readonly state: ClusterState;
  /** As if all of it had been written and seen. */
  write(objects: readonly OwnedObject[], ledger: readonly LedgerWrite[]): void;
}

export function memoryCluster(owner: string): MemoryCluster {
  const state = clusterState({
    owner,
    clusterDomain: "cluster.local",
    namespace: NAMESPACE,
    aliasNamespaces: new Set(),
  });
  let revision = 0;
  const metadata = () => ({ uid: randomUUID(), resourceVersion: String(++revision), creationTimestamp: AT });
  state.sinks.Namespace.put({ metadata: { name: NAMESPACE } });
  return {
    state,
    write(objects, ledger) {
      for (const { manifest } of objects) {
        const raw = { ...manifest, apiVersion: API_VERSIONS[manifest.kind] };
        state.sinks[manifest.kind].put(sent({ ...raw, metadata: { ...manifest.metadata, ...metadata() } }));
      }
      for (const { name, data } of ledger) {
        state.sinks.ConfigMap.put(sent({ metadata: { name, namespace: NAMESPACE, ...metadata() }, data }));
      }
    },
  };
}

const AT = "2026-01-02T03:04:05Z";

/** Nothing that comes from a server is the object that was sent. */
function sent(object: object): RawObject {
  return JSON.parse(JSON.stringify(object)) as RawObject;
}
