import type { Config } from "../config.ts";
import { createChanges } from "../controller/changes.ts";
import { type Leadership, neverLeads, type SoleWriter, soleWriter } from "../controller/leadership.ts";
import type { ClaimFinder } from "../kube/claim-stores.ts";
import type { Hands } from "../kube/hands.ts";
import type { DemandChannel } from "../model/demand.ts";
import type { PremadeRule } from "../model/premade.ts";
import type { TokenVerdict } from "../model/report.ts";
import type { Target } from "../model/target.ts";
import { globMatches } from "../plan/names.ts";
import { askToRelease } from "./ask-to-release.ts";
import type { CliContext } from "./context.ts";

/** How long a leader may take to see that its brakes are released. */
const MARK_LIVES_MS = 600_000;

/** The right to write once, or who has it. */
export interface Claim {
  /** Set when someone else has it. */
  readonly holder?: string;
  readonly mayWrite: () => boolean;
  release(): Promise<void>;
}

/** A configured target, with the way to become its only writer. */
export interface OpenTarget {
  readonly target: Target;
  /** For one pass. */
  claim(signal: AbortSignal): Promise<Claim>;
  /**
   * For as long as `signal` lives; then the claim is let go of by `close`.
   *
   * @throws When a folder is locked by another process.
   */
  elect(signal: AbortSignal): Promise<Leadership>;
  /**
   * Tell the live leader, which may be this process, to release brakes.
   *
   * @throws When it cannot be told.
   */
  markAllowDeletes(registries: readonly string[]): Promise<void>;
  /** For single objects of anyone; a folder's are edited by hand. */
  readonly hands?: Hands;
  /** Where replicas tell the leader what was asked for; of a folder there is one process. */
  readonly demand?: DemandChannel;
  /** Ask the cluster whose a token is. @throws When it cannot be asked. */
  readonly reviewToken?: (token: string, audiences: readonly string[]) => Promise<TokenVerdict>;
  close(): Promise<void>;
}

/** Open the target that the configuration names. Reads nothing yet. */
export async function openTarget(config: Config, context: CliContext): Promise<OpenTarget> {
  // Only what is used is loaded: the Kubernetes client takes longer to load than a pass on a folder takes.
  return config.target.kind === "directory"
    ? openDirectory(config, config.target.path, context)
    : openKubernetes(config, config.target, context);
}

/** Without an operator's leave nobody's claim counts, and nothing is read that only claims need. */
function claimFinder({ migration: { allow, claims } }: Config): ClaimFinder | undefined {
  if (allow.length + claims.length === 0) return undefined;
  return { claims, mayClaim: (namespace) => allow.some(({ by }) => by.some((glob) => globMatches(glob, namespace))) };
}

/** Entries that others wrote by hand count where this installation may write. */
function premadeRule({ owner, registries, merge, aliases, target }: Config): PremadeRule {
  const namespaces = new Set([target.namespace, ...aliases.map((rule) => rule.in)]);
  return { owner, namespaces, registries, merge };
}

async function openDirectory(
  config: Config,
  path: string,
  { log, identity, metrics }: CliContext,
): Promise<OpenTarget> {
  const { directoryTarget } = await import("../directory/directory.ts");
  const { directoryLock } = await import("../directory/lock.ts");
  const target = directoryTarget({
    path,
    owner: config.owner,
    ledgerNamespace: config.vips.ledgerNamespace,
    premade: premadeRule(config),
    claims: config.migration.claims,
    log,
    onWrite: (operation, result) => metrics.targetWrites.inc({ operation, result }),
  });
  const lock = directoryLock(path);
  let sole: SoleWriter | undefined;
  return {
    target,
    async claim() {
      const other = await lock.acquire();
      return { mayWrite: () => true, release: () => lock.release(), ...other };
    },
    async elect() {
      if (config.policy.mode === "dry-run") return neverLeads();
      const other = await lock.acquire();
      if (other !== undefined)
        throw new Error(
          `Cannot run as ${other.holder} already writes to ${path}: stop it, or give this one another target.path`,
        );
      sole = soleWriter(identity);
      return sole;
    },
    async markAllowDeletes(names) {
      if (sole === undefined) await askToRelease(config.http.listen, names);
      else sole.release(names);
    },
    async close() {
      await target.close();
      await lock.release();
    },
  };
}

async function openKubernetes(
  config: Config,
  place: Extract<Config["target"], { kind: "kubernetes" }>,
  context: CliContext,
): Promise<OpenTarget> {
  const { kubeClient } = await import("../kube/client.ts");
  const { demandChannel } = await import("../kube/demand.ts");
  const { createHands } = await import("../kube/hands.ts");
  const { kubernetesTarget } = await import("../kube/kubernetes.ts");
  const { leaseElector } = await import("../kube/lease.ts");
  const { reviewToken } = await import("../kube/token-review.ts");
  const client = await kubeClient({
    kubeconfig: context.kubeconfig,
    pod: context.pod,
    ...(place.context === undefined ? {} : { context: place.context }),
    userAgent: `x2istio/${context.version}`,
    onWrite: (operation, result) => context.metrics.targetWrites.inc({ operation, result }),
  });
  const { log } = context;
  const target = kubernetesTarget({
    client,
    owner: config.owner,
    namespace: place.namespace,
    ledgerNamespace: config.vips.ledgerNamespace,
    premade: premadeRule(config),
    claims: claimFinder(config),
    clusterDomain: place.clusterDomain,
    log,
  });
  const changes = createChanges();
  const elector = leaseElector({
    client,
    namespace: place.namespace,
    name: `x2istio-${config.owner}`,
    identity: context.identity,
    onChange: () => changes.notify(),
    ...context.lease,
    log,
  });
  let obeyedAtMs: number | undefined;
  return {
    target,
    async claim(signal) {
      const holder = await elector.tryAcquireOnce(signal);
      return {
        mayWrite: () => elector.isLeader(),
        release: () => elector.release(),
        ...(holder === undefined ? {} : { holder }),
      };
    },
    async elect(signal) {
      if (config.policy.mode === "dry-run") return neverLeads();
      void elector.run(signal);
      return {
        isLeader: () => elector.isLeader(),
        holder: () => elector.holder(),
        changes,
        allowDeletes() {
          const mark = elector.allowDeletes();
          // A mark is obeyed once, and by whoever leads soon after it was made: not by a leader of next week.
          const isDue = mark !== undefined && mark.atMs !== obeyedAtMs && target.nowMs() - mark.atMs < MARK_LIVES_MS;
          return isDue ? mark.registries : [];
        },
        releaseDone() {
          obeyedAtMs = elector.allowDeletes()?.atMs;
        },
      };
    },
    markAllowDeletes: (registries) => elector.markAllowDeletes(registries),
    hands: createHands(client, place.namespace),
    demand: demandChannel({ client, owner: config.owner, namespace: place.namespace, log }),
    reviewToken: (token, audiences) => reviewToken(client, token, audiences),
    async close() {
      await elector.release();
      await target.close();
    },
  };
}
