import type { ClashRules } from "../istio/clashes.ts";
import type { Log } from "../log.ts";
import type { PremadeRule } from "../model/premade.ts";
import type { Standing } from "../model/standing.ts";
import type { Target } from "../model/target.ts";
import type { KubeClient } from "./client/client.ts";
import type { ClaimFinder } from "./watch/claim-stores.ts";
import { clusterReflector } from "./watch/cluster-reflector.ts";
import { clusterState } from "./watch/state.ts";
import { eventWriter } from "./write/events.ts";
import { writeLedgerBlocks } from "./write/ledger.ts";
import { writeChanges } from "./write/write.ts";

/** Options of {@link kubernetesTarget}. */
export interface KubernetesTargetOptions {
  readonly client: KubeClient;
  /** Whose objects are ours: value of the owner label. */
  readonly owner: string;
  /** Where ServiceEntries, VirtualServices and routes are written. Such objects anywhere else are not ours, whatever their labels say. */
  readonly namespace: string;
  /** Where aliases are written. Elsewhere a Service is ours only if an entry of ours names it. */
  readonly aliasNamespaces: ReadonlySet<string>;
  /** Where the ConfigMaps of the VIP ledger are. */
  readonly ledgerNamespace: string;
  /** Which entries that others wrote by hand are to be filled; without it none. */
  readonly premade?: PremadeRule;
  /** Which Services may claim a service; without it none, and nothing is read that only claims need. */
  readonly claims?: ClaimFinder | undefined;
  /** What of others' objects is worth knowing. Default: any name and address. */
  readonly clashes?: ClashRules;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
  /** Write requests under way at once. Default 16. */
  readonly inFlight?: number;
  /** How long the mesh may take to know an entry that was made, before names turn to it. Default 1 s. */
  readonly settleMs?: number;
  /** Objects per page of a list. Default 500. */
  readonly pageSize?: number;
  /** See {@link ReflectorOptions}. Default 90 s. */
  readonly stallMs?: number;
  /** See {@link ReflectorOptions}. Default 3 minutes. */
  readonly recheckMs?: number;
  readonly log?: Pick<Log, "info" | "warn"> | undefined;
}

/** A cluster as a target. `close` closes the client too: release a Lease before it. */
export function kubernetesTarget(options: KubernetesTargetOptions): Target {
  const { client, owner, namespace, ledgerNamespace, clusterDomain = "cluster.local", inFlight = 16, log } = options;
  const { aliasNamespaces, premade, claims, clashes, settleMs = 1000 } = options;
  const state = clusterState({ owner, clusterDomain, namespace, aliasNamespaces, premade, claims, clashes, log });
  const reflector = clusterReflector({ ...options, state, hasClaims: claims !== undefined });
  const writer = { client, state, owner, inFlight, settleMs };
  const events = eventWriter({ client, owner, namespace, standing: state.standing, log });
  const closing = new AbortController();
  let following: Promise<unknown> = Promise.resolve();

  return {
    kind: "kubernetes",
    async start({ watch, signal }) {
      const failed = new AbortController();
      const both = AbortSignal.any([signal, closing.signal, failed.signal]);
      try {
        await reflector.list(both);
        checkNamespaces(state.standing, [namespace, ledgerNamespace]);
      } catch (error) {
        failed.abort(error); // the other lists need not go on
        throw error;
      }
      if (watch) following = reflector.follow(both);
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

function checkNamespaces({ namespaces }: Standing, names: readonly string[]): void {
  for (const name of new Set(names)) {
    if (namespaces?.has(name) !== true) {
      throw new Error(
        `Cannot use namespace "${name}" as it must exist: create it with "kubectl create namespace ${name}"`,
      );
    }
  }
}
