import type { Log } from "../log.ts";
import { MANAGED_BY, MANAGED_BY_LABEL } from "../model/objects.ts";
import type { PremadeRule } from "../model/premade.ts";
import type { Target } from "../model/target.ts";
import type { ClaimFinder } from "./claim-stores.ts";
import type { KubeClient } from "./client.ts";
import { eventWriter } from "./events.ts";
import { hasStatus } from "./kube-error.ts";
import { writeLedgerBlocks } from "./ledger.ts";
import { type Reflector, reflector } from "./reflector.ts";
import { collectionPath, groupOf, RESOURCES } from "./resources.ts";
import { clusterState, type MigrationKind, type WatchedKind } from "./state.ts";
import { writeChanges } from "./write.ts";

/** Options of {@link kubernetesTarget}. */
export interface KubernetesTargetOptions {
  readonly client: KubeClient;
  /** Whose objects are ours: value of the owner label. */
  readonly owner: string;
  /** Where ServiceEntries, VirtualServices and routes are written. Such objects anywhere else are not ours, whatever their labels say. */
  readonly namespace: string;
  /** Where the ConfigMaps of the VIP ledger are. */
  readonly ledgerNamespace: string;
  /** Which entries that others wrote by hand are to be filled; without it none. */
  readonly premade?: PremadeRule;
  /** Which Services may claim a service; without it none, and nothing is read that only claims need. */
  readonly claims?: ClaimFinder | undefined;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
  /** Write requests under way at once. Default 16. */
  readonly inFlight?: number;
  /** Objects per page of a list. Default 500. */
  readonly pageSize?: number;
  /** See {@link reflector}. Default 90 s. */
  readonly stallMs?: number;
  /** See {@link reflector}. Default 3 minutes. */
  readonly recheckMs?: number;
  readonly log?: Pick<Log, "info" | "warn"> | undefined;
}

/** A cluster as a target. `close` closes the client too: release a Lease before it. */
export function kubernetesTarget(options: KubernetesTargetOptions): Target {
  const { client, owner, namespace, ledgerNamespace, clusterDomain = "cluster.local", inFlight = 16, log } = options;
  const state = clusterState({ owner, clusterDomain, namespace, premade: options.premade, claims: options.claims });
  const writer = { client, state, owner, inFlight };
  const events = eventWriter({ client, owner, namespace, standing: state.standing, log });
  const closing = new AbortController();
  const kinds = (Object.keys(state.sinks) as WatchedKind[]).filter(
    (kind) => options.claims !== undefined || !isOfMigration(kind),
  );
  const reflectors = new Map(kinds.map((kind) => [kind, reflectorOf(kind)]));
  let following: Promise<unknown> = Promise.resolve();

  function reflectorOf(kind: WatchedKind): Reflector {
    const resource = RESOURCES[kind];
    const isLedger = kind === "ConfigMap";
    const { pageSize, stallMs, recheckMs } = options;
    return reflector({
      client,
      title: resource.plural,
      path: collectionPath(resource, isLedger ? ledgerNamespace : undefined),
      sink: state.sinks[kind],
      ...(isOptional(kind) ? { optional: true, onList: (isKnown) => state.setKnown(kind, isKnown) } : {}),
      ...(isOfMigration(kind) ? { optional: true } : {}),
      log,
      ...(isLedger ? { query: { labelSelector: `${MANAGED_BY_LABEL}=${MANAGED_BY}` } } : {}),
      ...(pageSize === undefined ? {} : { pageSize }),
      ...(stallMs === undefined ? {} : { stallMs }),
      ...(recheckMs === undefined ? {} : { recheckMs }),
    });
  }

  async function listFirst(kind: WatchedKind, signal: AbortSignal): Promise<void> {
    try {
      await reflectors.get(kind)?.list(signal);
    } catch (error) {
      const { apiVersion, plural } = RESOURCES[kind];
      if (!hasStatus(error, 404)) throw error;
      throw new Error(
        `Cannot read ${plural} as the cluster must have the CRD ${plural}.${groupOf(RESOURCES[kind])} in version ${apiVersion}: install Istio 1.22 or later, or its "base" chart`,
        { cause: error },
      );
    }
  }

  function checkNamespaces(): void {
    for (const name of new Set([namespace, ledgerNamespace])) {
      if (state.standing.namespaces?.has(name) !== true) {
        throw new Error(
          `Cannot use namespace "${name}" as it must exist: create it with "kubectl create namespace ${name}"`,
        );
      }
    }
  }

  /** Tenants may imitate our labels; but it may also be what an earlier configuration wrote, which is then to be removed by hand. */
  function warnOfStrays(): void {
    const { foreign, premade } = state.standing;
    const strays = [...foreign].filter(([key, object]) => object.owner === owner && !premade.has(key));
    const objects = strays.slice(0, 5).map(([, { kind, namespace: place, name }]) => `${kind} ${place}/${name}`);
    if (strays.length > 0)
      log?.warn(
        { count: strays.length, objects },
        "objects carry our labels in namespaces that we do not write to; they count as someone else's",
      );
  }

  return {
    kind: "kubernetes",
    async start({ watch, signal }) {
      const failed = new AbortController();
      const both = AbortSignal.any([signal, closing.signal, failed.signal]);
      try {
        await Promise.all(kinds.map((kind) => listFirst(kind, both)));
        checkNamespaces();
        warnOfStrays();
      } catch (error) {
        failed.abort(error); // the other lists need not go on
        throw error;
      }
      if (watch) following = Promise.all([...reflectors.values()].map((each) => each.follow(both)));
    },
    standing: () => state.standing,
    version: state.version,
    waitForChange: state.waitForChange,
    changesSince: state.changesSince,
    nowMs: client.nowMs,
    writeLedger: (writes, how) => writeLedgerBlocks(writes, ledgerNamespace, writer, how),
    write: (changes, how) => writeChanges(changes, writer, how),
    report: events.report,
    async close() {
      closing.abort(new Error("the target was closed"));
      await following;
      await client.close();
    },
  };
}

/** Kinds of the Gateway API: a mesh does not need it. */
function isOptional(kind: WatchedKind): kind is "HTTPRoute" | "TCPRoute" {
  return kind === "HTTPRoute" || kind === "TCPRoute";
}

function isOfMigration(kind: WatchedKind): kind is MigrationKind {
  return kind === "EndpointSlice" || kind === "Sidecar" || kind === "PeerAuthentication";
}
