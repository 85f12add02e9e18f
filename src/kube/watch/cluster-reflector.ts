import type { Log } from "../../log.ts";
import { MANAGED_BY, MANAGED_BY_LABEL } from "../../model/objects.ts";
import type { KubeClient } from "../client/client.ts";
import { hasStatus } from "../client/kube-error.ts";
import { collectionPath, groupOf, RESOURCES } from "../client/resources.ts";
import { type Reflector, type ReflectorOptions, reflector } from "./reflector.ts";
import type { ClusterState, MigrationKind, WatchedKind } from "./state.ts";

/** Options of {@link clusterReflector}; those of every reflector are passed on. */
export interface ClusterReflectorOptions extends Pick<ReflectorOptions, "pageSize" | "stallMs" | "recheckMs"> {
  readonly client: KubeClient;
  readonly state: ClusterState;
  /** Where the ConfigMaps of the VIP ledger are. */
  readonly ledgerNamespace: string;
  /** Whether what only claims need is watched too. */
  readonly hasClaims: boolean;
  readonly log?: Pick<Log, "info" | "warn"> | undefined;
}

/** Keeps the state of a cluster current: one reflector for each kind. */
export function clusterReflector(options: ClusterReflectorOptions): Reflector {
  const kinds = (Object.keys(options.state.sinks) as WatchedKind[]).filter(
    (kind) => options.hasClaims || !isOfMigration(kind),
  );
  const reflectors = kinds.map((kind) => [kind, reflectorOf(kind, options)] as const);
  return {
    async list(signal) {
      // Entries first: they say which Services are aliases of ours.
      const [entries, others] = [true, false].map((isFirst) =>
        reflectors.filter(([kind]) => (kind === "ServiceEntry") === isFirst),
      );
      for (const next of [entries, others])
        await Promise.all((next ?? []).map(([kind, one]) => listKind(kind, one, signal)));
    },
    async follow(signal) {
      await Promise.all(reflectors.map(([, one]) => one.follow(signal)));
    },
  };
}

function reflectorOf(kind: WatchedKind, options: ClusterReflectorOptions): Reflector {
  const { client, state, ledgerNamespace, pageSize, stallMs, recheckMs, log } = options;
  const resource = RESOURCES[kind];
  const isLedger = kind === "ConfigMap";
  return reflector({
    client,
    title: resource.plural,
    path: collectionPath(resource, isLedger ? ledgerNamespace : undefined),
    sink: state.sinks[kind],
    ...(isOfGateway(kind) ? { optional: true, onList: (isKnown) => state.setKnown(kind, isKnown) } : {}),
    ...(isOfMigration(kind) ? { optional: true } : {}),
    log,
    ...(isLedger ? { query: { labelSelector: `${MANAGED_BY_LABEL}=${MANAGED_BY}` } } : {}),
    ...(pageSize === undefined ? {} : { pageSize }),
    ...(stallMs === undefined ? {} : { stallMs }),
    ...(recheckMs === undefined ? {} : { recheckMs }),
  });
}

async function listKind(kind: WatchedKind, one: Reflector, signal: AbortSignal): Promise<void> {
  try {
    await one.list(signal);
  } catch (error) {
    const { apiVersion, plural } = RESOURCES[kind];
    if (!hasStatus(error, 404)) throw error;
    throw new Error(
      `Cannot read ${plural} as the cluster must have the CRD ${plural}.${groupOf(RESOURCES[kind])} in version ${apiVersion}: install Istio 1.22 or later, or its "base" chart`,
      { cause: error },
    );
  }
}

/** Kinds of the Gateway API: a mesh does not need it. */
function isOfGateway(kind: WatchedKind): kind is "HTTPRoute" | "TCPRoute" {
  return kind === "HTTPRoute" || kind === "TCPRoute";
}

function isOfMigration(kind: WatchedKind): kind is MigrationKind {
  return kind === "EndpointSlice" || kind === "Sidecar" || kind === "PeerAuthentication";
}
