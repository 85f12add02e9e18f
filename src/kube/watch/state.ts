import { changeLog } from "../../async/change-log.ts";
import type { MeshKind, ObjectKey } from "../../model/objects.ts";
import type { Standing } from "../../model/standing.ts";
import { type ClaimFinder, claimStores } from "./claim-stores.ts";
import { ledgerStore } from "./ledger-store.ts";
import { type MeshRules, meshState, meshStore } from "./mesh-store.ts";
import { namespaceStore } from "./namespace-store.ts";
import { createSink, type Sink } from "./sink.ts";

/** All kinds that are watched. */
export type WatchedKind = MeshKind | "Namespace" | "ConfigMap" | MigrationKind;

/** Kinds that are watched only where services may be claimed. */
export type MigrationKind = "EndpointSlice" | "Sidecar" | "PeerAuthentication";

/** What stands in the cluster, and the ways it is told of changes. */
export interface ClusterState {
  readonly standing: Standing;
  readonly sinks: Readonly<Record<WatchedKind, Sink>>;
  /** Note whether the cluster has the definition of a kind. */
  setKnown(kind: MeshKind, isKnown: boolean): void;
  version(): number;
  /** Resolve when `version()` differs from `version`, or reject when `signal` aborts. */
  waitForChange(version: number, signal: AbortSignal): Promise<void>;
  /** What changed since; `undefined` when that is not known any more. */
  changesSince(version: number): ReadonlySet<ObjectKey> | undefined;
}

/** Options of {@link clusterState}. */
export interface StateOptions extends MeshRules {
  /** Which Services may claim a service; without it none. */
  readonly claims?: ClaimFinder | undefined;
}

/** An empty state. */
export function clusterState(options: StateOptions): ClusterState {
  const log = changeLog<ObjectKey>();
  const migration = claimStores(options.claims, log.add, options.log);
  const mesh = meshState(options, migration);
  const namespaces = namespaceStore(options.claims !== undefined);
  const ledger = ledgerStore();
  const absentKinds = new Set<MeshKind>();
  const meshSink = (kind: MeshKind) => createSink(meshStore(mesh, kind), log.add);
  return {
    standing: {
      ...{ objects: mesh.objects, foreign: mesh.foreign.objects, premade: mesh.premade, absentKinds },
      ledger: ledger.standing,
      ...namespaces.standing,
      ...migration.standing,
    },
    sinks: {
      ServiceEntry: meshSink("ServiceEntry"),
      VirtualService: meshSink("VirtualService"),
      Service: meshSink("Service"),
      HTTPRoute: meshSink("HTTPRoute"),
      TCPRoute: meshSink("TCPRoute"),
      Namespace: createSink(namespaces, (name) => log.add(`Namespace/${name}`)),
      ConfigMap: createSink(ledger, (name) => log.add(`ConfigMap/${name}`)),
      EndpointSlice: createSink(migration.stores.EndpointSlice, () => undefined),
      Sidecar: createSink(migration.stores.Sidecar, log.add),
      PeerAuthentication: createSink(migration.stores.PeerAuthentication, log.add),
    },
    setKnown(kind, isKnown) {
      const wasKnown = !absentKinds.has(kind);
      if (isKnown) absentKinds.delete(kind);
      else absentKinds.add(kind);
      if (isKnown !== wasKnown) log.add(`CustomResourceDefinition/${kind}`);
    },
    version: log.version,
    waitForChange: log.wait,
    changesSince: log.since,
  };
}
