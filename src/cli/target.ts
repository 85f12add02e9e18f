import type { Config } from "../config.ts";
import { createChanges } from "../controller/changes.ts";
import { type Leadership, neverLeads, soleWriter } from "../controller/leadership.ts";
import type { Hands } from "../kube/hands.ts";
import type { PremadeRule } from "../model/premade.ts";
import type { Target } from "../model/target.ts";
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
  /** Tell the live leader to release brakes. */
  markAllowDeletes(registries: readonly string[]): Promise<void>;
  /** For single objects of anyone; a folder's are edited by hand. */
  readonly hands?: Hands;
  close(): Promise<void>;
}

/** Open the target that the configuration names. Reads nothing yet. */
export async function openTarget(config: Config, context: CliContext): Promise<OpenTarget> {
  // Only what is used is loaded: the Kubernetes client takes longer to load than a pass on a folder takes.
  return config.target.kind === "directory"
    ? openDirectory(config, config.target.path, context)
    : openKubernetes(config, config.target, context);
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
    log,
    onWrite: (operation, result) => metrics.targetWrites.inc({ operation, result }),
  });
  const lock = directoryLock(path);
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
      return soleWriter(identity);
    },
    async markAllowDeletes() {
      throw new Error(`Cannot release a brake as another process writes to ${path}: stop it first`);
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
  const { createHands } = await import("../kube/hands.ts");
  const { kubernetesTarget } = await import("../kube/kubernetes.ts");
  const { leaseElector } = await import("../kube/lease.ts");
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
    async close() {
      await elector.release();
      await target.close();
    },
  };
}
