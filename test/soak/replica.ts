import { createChanges } from "../../src/controller/changes.ts";
import { type Controller, startController } from "../../src/controller/controller.ts";
import type { Leadership } from "../../src/controller/leadership.ts";
import { backOff } from "../../src/controller/loop.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { kubernetesTarget } from "../../src/kube/kubernetes.ts";
import { leaseElector } from "../../src/kube/lease.ts";
import type { Log } from "../../src/log.ts";
import type { Metrics } from "../../src/metrics.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import type { PremadeRule } from "../../src/model/premade.ts";
import type { Target } from "../../src/model/target.ts";
import { nameTables } from "../../src/plan/name-table.ts";
import { runSteps } from "../../src/plan/steps.ts";
import type { config } from "../plan/memory.ts";
import type { Clock, Process } from "./clock.ts";
import { type Network, networkClient } from "./network.ts";
import type { Registry } from "./registry.ts";
import type { Witness } from "./witness.ts";
import type { World } from "./world.ts";

export const LEASE = "x2istio-east";
export const MESH = "mesh-services";

/** Ways to break the product from outside, each as a fault in its code would. */
export interface Mutation {
  readonly client?: (client: KubeClient, world: World) => KubeClient;
  readonly target?: (target: Target) => Target;
  readonly leadership?: (leadership: Leadership) => Leadership;
  readonly adapter?: (adapter: ReturnType<Registry["adapter"]>) => ReturnType<Registry["adapter"]>;
  readonly settings?: (settings: ReturnType<typeof config>) => ReturnType<typeof config>;
}

/** One life of one replica: the product's own controller, target, Lease and name table. */
export interface Replica {
  readonly process: Process;
  readonly network: Network;
  readonly target: Target;
  isLeader(): boolean;
  table(): NameTable | undefined;
  controller(): Controller | undefined;
  /** Looks at everything that have ended, with their writes. */
  passes(): number;
  /** SIGTERM; resolves when it has ended. */
  end(): Promise<void>;
}

export interface ReplicaOptions {
  readonly world: World;
  readonly clock: Clock;
  readonly process: Process;
  readonly network: Network;
  readonly settings: ReturnType<typeof config>;
  readonly premade: PremadeRule;
  readonly witness: Witness;
  readonly mutation: Mutation;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Joins what `run` joins, on the world's network and registries. */
export function startReplica(options: ReplicaOptions): Replica {
  const { world, clock, process, network, witness, mutation, log, metrics } = options;
  const settings = mutation.settings?.(options.settings) ?? options.settings;
  const plain = networkClient(world.api, clock, process, network, world.random, {
    onSend: (request) => witness.onSend(process, request),
  });
  const client = mutation.client?.(plain, world) ?? plain;
  const changes = createChanges();
  const ending = new AbortController();
  const tables = nameTables();
  let table: NameTable | undefined;
  let controller: Controller | undefined;
  let passes = 0;

  const inner = kubernetesTarget({
    client,
    owner: settings.owner,
    namespace: MESH,
    ledgerNamespace: MESH,
    premade: options.premade,
    pageSize: 20,
    log,
  });
  const elector = leaseElector({
    client,
    namespace: MESH,
    name: LEASE,
    identity: process.name,
    onChange: () => changes.notify(),
    log,
  });
  let obeyedAtMs: number | undefined;
  const leadership: Leadership = {
    isLeader: () => elector.isLeader(),
    holder: () => elector.holder(),
    changes,
    allowDeletes() {
      const mark = elector.allowDeletes();
      const isDue = mark !== undefined && mark.atMs !== obeyedAtMs && inner.nowMs() - mark.atMs < 600_000;
      const released = isDue ? mark.registries : [];
      witness.onRelease(process, released);
      return released;
    },
    releaseDone() {
      obeyedAtMs = elector.allowDeletes()?.atMs;
    },
  };
  const target = mutation.target?.(inner) ?? inner;
  const watched: Target = {
    ...target,
    standing() {
      const standing = target.standing();
      witness.onDecision(process, standing, target.nowMs());
      return standing;
    },
    write(changes, how) {
      witness.onIntent(process, changes);
      return target.write(changes, how);
    },
    async report(holds, how) {
      await target.report(holds, how);
      passes++;
    },
  };
  const adapters = world.registries.map((registry) => {
    const adapter = registry.adapter(process, (said, askedMs) =>
      witness.onAnswer(process, registry.name, said, askedMs),
    );
    return mutation.adapter?.(adapter) ?? adapter;
  });

  async function live(): Promise<void> {
    const { signal } = ending;
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        await inner.start({ watch: true, signal });
        break;
      } catch {
        await backOff(failures, signal).catch(() => undefined);
      }
    }
    if (signal.aborted) return;
    controller = startController({
      config: settings,
      adapters,
      target: watched,
      leadership: mutation.leadership?.(leadership) ?? leadership,
      signal,
      log,
      metrics,
    });
    let version = -1;
    while (!signal.aborted) {
      const changed = inner.changesSince(version);
      version = inner.version();
      table = runSteps(tables.renew(inner.standing(), changed, { settleMs: 0, nowMs: Date.now() }));
      await inner.waitForChange(version, signal).catch(() => undefined);
      await new Promise<void>((resolve) => clock.after(20, process, resolve));
    }
    await controller.done;
  }

  const done = clock.runAs(process, () => {
    void elector.run(ending.signal);
    return live();
  });
  return {
    process,
    network,
    target: inner,
    isLeader: () => elector.isLeader(),
    table: () => table,
    controller: () => controller,
    passes: () => passes,
    async end() {
      ending.abort();
      await done;
      await elector.release();
      await inner.close();
    },
  };
}
