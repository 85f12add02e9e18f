import { changeLog } from "../model/change-log.ts";
import type { MeshNamespace } from "../model/claim.ts";
import { type MeshKind, type ObjectKey, objectKey } from "../model/objects.ts";
import { type PremadeRule, premadeClaim } from "../model/premade.ts";
import type { ForeignObject, PremadeEntry, Standing, StandingLedgerBlock, StandingObject } from "../model/standing.ts";
import { type ClaimFinder, claimStores } from "./claim-stores.ts";
import { toMeshNamespace } from "./claims.ts";
import { isOurs, toForeign, toPremade, toStanding, valuePool } from "./project.ts";
import { fieldsOf, type RawObject, stringMapOf } from "./raw.ts";
import { createSink, type Sink, type Store } from "./sink.ts";

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
export interface StateOptions {
  readonly owner: string;
  readonly clusterDomain: string;
  /**
   * Where our entries, VirtualServices and routes stand. Elsewhere our labels prove nothing, as anyone may set them on an object of
   * their own. An alias may stand anywhere: one whose rule was removed must still be known as ours, and gives nobody a name.
   */
  readonly namespace: string;
  /** Which entries of others are to be filled; without it none. */
  readonly premade?: PremadeRule | undefined;
  /** Which Services may claim a service; without it none. */
  readonly claims?: ClaimFinder | undefined;
}

/** Names of ledger ConfigMaps start so. */
export const LEDGER_PREFIX = "x2istio-vips-";

/** An empty state. */
export function clusterState(options: StateOptions): ClusterState {
  const { owner, clusterDomain, namespace, premade: rule } = options;
  const objects = new Map<string, StandingObject>();
  const foreign = new Map<string, ForeignObject>();
  const premade = new Map<string, PremadeEntry>();
  const ledger = new Map<string, StandingLedgerBlock>();
  const namespaces = new Map<string, "active" | "terminating">();
  const absentKinds = new Set<MeshKind>();
  const meshNamespaces = new Map<string, MeshNamespace>();
  const pooled = valuePool();
  const log = changeLog();
  const migration = claimStores(options.claims, log.add);

  function putForeign(key: string, object: ForeignObject): boolean {
    const wasOurs = objects.delete(key);
    const known = foreign.get(key);
    if (known !== undefined && isSameForeign(known, object)) return wasOurs;
    foreign.set(key, object);
    return true;
  }

  /** Keep an entry of someone else's as a whole when it is to be filled; tells whether that changed anything. */
  function putPremade(key: string, kind: MeshKind, raw: RawObject): boolean {
    const { namespace: place = "", labels, annotations, resourceVersion } = raw.metadata ?? {};
    const isEntry = kind === "ServiceEntry" && rule !== undefined;
    const claim = isEntry ? premadeClaim({ namespace: place, labels, annotations }, rule) : undefined;
    if (claim === undefined) return premade.delete(key);
    if (premade.get(key)?.resourceVersion === resourceVersion) return false;
    premade.set(key, toPremade(raw, claim, pooled));
    return true;
  }

  /** Tells whether it takes part in the mesh in another way than before. */
  function putMesh(name: string, raw: RawObject): boolean {
    const [now, before] = [toMeshNamespace(raw), meshNamespaces.get(name)];
    if (JSON.stringify(now) === JSON.stringify(before)) return false;
    if (now === undefined) meshNamespaces.delete(name);
    else meshNamespaces.set(name, now);
    return options.claims !== undefined;
  }

  const meshStore = (kind: MeshKind): Store => ({
    keyOf: keyByKind(kind),
    put(key, raw) {
      const isClaim = kind === "Service" && migration.putService(key, raw, isOurs(raw, owner));
      if (!isOurs(raw, owner) || (kind !== "Service" && raw.metadata?.namespace !== namespace)) {
        const isFilled = putPremade(key, kind, raw);
        const object = toForeign(kind, raw, clusterDomain, pooled, owner);
        // A route of gateways only can clash with ours by its name alone.
        if (isRoute(kind) && object.hosts.length === 0 && object.namespace !== namespace) return foreign.delete(key);
        return putForeign(key, object) || isFilled || isClaim;
      }
      const known = objects.get(key);
      if (known !== undefined && known.resourceVersion === raw.metadata?.resourceVersion) return false;
      const object = toStanding(kind, raw, pooled);
      foreign.delete(key);
      premade.delete(key);
      objects.set(key, object);
      return true;
    },
    drop(key) {
      if (kind === "Service") migration.dropService(key);
      const wasOurs = objects.delete(key);
      premade.delete(key);
      return foreign.delete(key) || wasOurs;
    },
    keys: () => [...keysOfKind(objects, kind), ...keysOfKind(foreign, kind)],
  });

  const namespaceStore: Store = {
    keyOf: (raw) => raw.metadata?.name,
    put(name, raw) {
      const isEnding = raw.metadata?.deletionTimestamp != null || fieldsOf(raw.status).phase === "Terminating";
      const phase = isEnding ? "terminating" : "active";
      const isOther = putMesh(name, raw);
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

  const ledgerStore: Store = {
    keyOf: ({ metadata }) => (metadata?.name?.startsWith(LEDGER_PREFIX) ? metadata.name : undefined),
    put(name, raw) {
      const { resourceVersion = "" } = raw.metadata ?? {};
      if (ledger.get(name)?.resourceVersion === resourceVersion) return false;
      ledger.set(name, { name, resourceVersion, data: stringMapOf(raw.data) });
      return true;
    },
    drop: (name) => ledger.delete(name),
    keys: () => [...ledger.keys()],
  };

  return {
    standing: { objects, foreign, premade, ledger, namespaces, absentKinds, meshNamespaces, ...migration.standing },
    sinks: {
      ServiceEntry: createSink(meshStore("ServiceEntry"), log.add),
      VirtualService: createSink(meshStore("VirtualService"), log.add),
      Service: createSink(meshStore("Service"), log.add),
      HTTPRoute: createSink(meshStore("HTTPRoute"), log.add),
      TCPRoute: createSink(meshStore("TCPRoute"), log.add),
      Namespace: createSink(namespaceStore, (name) => log.add(`Namespace/${name}`)),
      ConfigMap: createSink(ledgerStore, (name) => log.add(`ConfigMap/${name}`)),
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

function isRoute(kind: MeshKind): boolean {
  return kind === "HTTPRoute" || kind === "TCPRoute";
}

function keyByKind(kind: string): (raw: RawObject) => string | undefined {
  return ({ metadata }) => {
    if (metadata?.name === undefined || metadata.namespace === undefined) return undefined;
    return objectKey(kind, metadata.namespace, metadata.name);
  };
}

function keysOfKind(map: ReadonlyMap<string, unknown>, kind: string): string[] {
  return [...map.keys()].filter((key) => key.startsWith(`${kind}/`));
}

function isSameForeign(a: ForeignObject, b: ForeignObject): boolean {
  return (
    a.uid === b.uid &&
    a.owner === b.owner &&
    a.isNarrow === b.isNarrow &&
    isSameList(a.hosts, b.hosts) &&
    isSameList(a.addresses, b.addresses)
  );
}

function isSameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}
