import { type Changes, createChanges } from "../../async/changes.ts";
import type { Config } from "../../config/config.ts";
import { configDigest } from "../../config/digest.ts";
import { type Leadership, neverLeads } from "../../controller/leadership.ts";
import type { KubeClient } from "../../kube/client/client.ts";
import type { LeaseElector } from "../../kube/lease/lease.ts";
import type { Mark } from "../../kube/lease/lease-record.ts";
import type { ClaimFinder } from "../../kube/watch/claim-stores.ts";
import type { Log } from "../../log.ts";
import type { Target, WriteRight } from "../../model/target.ts";
import { configuredRegistries, hasLeft } from "../../ownership/prune.ts";
import { globMatches } from "../../plan/glob.ts";
import type { CliContext } from "../context.ts";
import { clashRules } from "./clash-rules.ts";
import { targetMetrics } from "./metrics.ts";
import type { OpenTarget } from "./open-target.ts";
import { premadeRule } from "./premade-rule.ts";

/** How long a leader may take to see that its brakes are released. */
const MARK_LIVES_MS = 600_000;

type Place = Extract<Config["target"], { kind: "kubernetes" }>;

/** Open a cluster. Its code is loaded here: the Kubernetes client takes longer to load than a pass on a folder takes. */
export async function openKubernetes(config: Config, place: Place, context: CliContext): Promise<OpenTarget> {
  const { log } = context;
  const { namespace } = place;
  const { demandChannel } = await import("../../kube/demand.ts");
  const { createObjectEditor } = await import("../../kube/write/object-editor.ts");
  const { reviewToken } = await import("../../kube/client/token-review.ts");
  const { reviewAccess } = await import("../../kube/client/access-review.ts");
  const { serviceRanges } = await import("../../kube/facts/service-ranges.ts");
  const client = await connect(place, context);
  const target = await targetOf(client, config, place, context);
  const changes = createChanges();
  const elector = await electorOf(client, config, namespace, changes, context);
  return {
    target,
    acquire: (signal) => acquireLease(elector, signal),
    async elect(signal) {
      if (config.policy.mode === "dry-run") return neverLeads();
      void elector.run(signal);
      return leaseLeadership(elector, changes, target, config, log);
    },
    markAllowDeletes: (registries) => elector.markAllowDeletes(registries),
    askToPrune: (registry) => elector.markPrune([registry]),
    editor: createObjectEditor(client, namespace),
    demand: demandChannel({ client, owner: config.owner, namespace, log }),
    serviceRanges: serviceRanges(client, log),
    reviewToken: (token, audiences) => reviewToken(client, token, audiences),
    reviewAccess: (token, audiences, url) => reviewAccess(client, token, audiences, url),
    async close() {
      await elector.release();
      await target.close();
    },
  };
}

async function connect(place: Place, { kubeconfig, pod, version, metrics }: CliContext): Promise<KubeClient> {
  const { kubeClient } = await import("../../kube/client/client.ts");
  return kubeClient({
    kubeconfig,
    pod,
    ...(place.context === undefined ? {} : { context: place.context }),
    userAgent: `x2istio/${version}`,
    onWrite: metrics.once(targetMetrics).onWrite,
  });
}

async function targetOf(client: KubeClient, config: Config, place: Place, { log }: CliContext): Promise<Target> {
  const { kubernetesTarget } = await import("../../kube/kubernetes.ts");
  return kubernetesTarget({
    client,
    owner: config.owner,
    namespace: place.namespace,
    aliasNamespaces: new Set(config.aliases.map((rule) => rule.in)),
    ledgerNamespace: config.vips.ledgerNamespace,
    premade: premadeRule(config),
    claims: claimFinder(config),
    clashes: clashRules(config),
    clusterDomain: place.clusterDomain,
    log,
  });
}

/** Where no operator allows claims none counts, and nothing is read that only claims need. */
function claimFinder({ migration: { allow, claims } }: Config): ClaimFinder | undefined {
  if (allow.length + claims.length === 0) return undefined;
  return { claims, mayClaim: (namespace) => allow.some(({ by }) => by.some((glob) => globMatches(glob, namespace))) };
}

async function electorOf(
  client: KubeClient,
  config: Config,
  namespace: string,
  changes: Changes,
  { identity, lease, log }: CliContext,
): Promise<LeaseElector> {
  const { leaseElector } = await import("../../kube/lease/lease.ts");
  return leaseElector({
    client,
    namespace,
    name: `x2istio-${config.owner}`,
    identity,
    onChange: () => changes.notify(),
    config: configDigest(config),
    ...lease,
    log,
  });
}

async function acquireLease(elector: LeaseElector, signal: AbortSignal): Promise<WriteRight> {
  const holder = await elector.tryAcquireOnce(signal);
  return {
    mayWrite: () => elector.isLeader(),
    release: () => elector.release(),
    ...(holder === undefined ? {} : { holder }),
  };
}

/** Leadership of whoever holds the Lease. A mark to release brakes is obeyed once, one to prune until nothing is left. */
function leaseLeadership(
  elector: LeaseElector,
  changes: Changes,
  target: Target,
  config: Config,
  log: Log,
): Leadership {
  let obeyedAtMs: number | undefined;
  let prunedAtMs: number | undefined;
  // It is for the leader of the next minutes, not for one of next week.
  const isYoung = ({ atMs }: Mark) => target.nowMs() - atMs < MARK_LIVES_MS;
  const answer = (refused?: Mark) =>
    void elector
      .answerPrune(refused)
      .catch((error: unknown) => log.warn({ error }, "what became of a request to prune cannot be told"));
  return {
    isLeader: () => elector.isLeader(),
    holder: () => elector.holder(),
    leaderConfig: () => elector.leaderConfig(),
    changes,
    allowDeletes() {
      const mark = elector.allowDeletes();
      return mark !== undefined && mark.atMs !== obeyedAtMs && isYoung(mark) ? mark.registries : [];
    },
    releaseDone() {
      obeyedAtMs = elector.allowDeletes()?.atMs;
    },
    prunes() {
      const mark = elector.prune();
      if (mark === undefined || mark.atMs === prunedAtMs || !isYoung(mark)) return [];
      if (mark.registries.every((registry) => hasLeft(registry, configuredRegistries(config)))) return mark.registries;
      if (!elector.isLeader()) return [];
      prunedAtMs = mark.atMs;
      log.warn(
        { registries: mark.registries },
        "asked to prune a registry that is configured here: nothing is deleted",
      );
      answer(mark);
      return [];
    },
    pruneDone() {
      prunedAtMs = elector.prune()?.atMs;
      answer();
    },
  };
}
