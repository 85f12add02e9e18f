import { backOff } from "../../src/async/back-off.ts";
import { createChanges } from "../../src/async/changes.ts";
import { finish } from "../../src/async/slices.ts";
import { type Controller, startController } from "../../src/controller/controller.ts";
import { createDemand } from "../../src/controller/demand.ts";
import { relayDemand } from "../../src/controller/demand-relay.ts";
import type { Leadership } from "../../src/controller/leadership.ts";
import { demandChannel } from "../../src/kube/demand.ts";
import { kubernetesTarget } from "../../src/kube/kubernetes.ts";
import { leaseElector } from "../../src/kube/lease/lease.ts";
import type { Log } from "../../src/log.ts";
import type { Metrics } from "../../src/metrics.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import type { PremadeRule } from "../../src/model/premade.ts";
import type { Target } from "../../src/model/target.ts";
import { demandTtls, knows } from "../../src/plan/known.ts";
import { nameTables } from "../../src/plan/names/name-tables.ts";
import type { config } from "../plan/memory.ts";
import type { Clock, Process } from "./clock.ts";
import { type Network, networkClient } from "./cluster/network.ts";
import { NAMESPACE } from "./registry.ts";
import type { Mutation, Replica, World } from "./types.ts";
import type { Witness } from "./witness.ts";

export const LEASE = "x2istio-east";
export const MESH = "mesh-services";

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
    onSend(request) {
      if (request.method !== "GET" && request.operation !== "lease") world.onWrite(process);
      return witness.onSend(process, request);
    },
    isForbidden: world.isForbidden,
    took: world.took,
  });
  const client = mutation.client?.(plain, world) ?? plain;
  const { allow } = settings.migration;
  const ttlMs = demandTtls(settings.registries);
  const demand = createDemand();
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
    aliasNamespaces: new Set(settings.aliases.map((rule) => rule.in)),
    ledgerNamespace: MESH,
    premade: options.premade,
    claims: allow.length === 0 ? undefined : { claims: [], mayClaim: (namespace) => namespace === NAMESPACE },
    ...{ settleMs: 0, pageSize: 20 },
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
      world.took("a brake is released");
      obeyedAtMs = elector.allowDeletes()?.atMs;
    },
    prunes: () => [],
    pruneDone: () => undefined,
  };
  const target = mutation.target?.(inner) ?? inner;
  const watched: Target = {
    ...target,
    standing() {
      const standing = target.standing();
      witness.onDecision(process, standing, target.nowMs());
      return standing;
    },
    async write(changes, how) {
      witness.onIntent(process, changes);
      const report = await target.write(changes, how);
      if (!elector.isLeader() && report.results.some(({ outcome }) => outcome === "skipped"))
        world.took("leadership is lost between two writes");
      return report;
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
      demand,
      signal,
      log,
      metrics,
    });
    const channel = demandChannel({ client, owner: settings.owner, namespace: MESH, log });
    const { latest } = controller;
    const relay =
      ttlMs.size === 0
        ? undefined
        : relayDemand({ channel, demand, leadership, latest, ttlMs, nowMs: inner.nowMs, signal, log });
    let version = -1;
    while (!signal.aborted) {
      const changed = inner.changesSince(version);
      version = inner.version();
      table = finish(tables.renew(inner.standing(), changed, { settleMs: 0, nowMs: Date.now() }));
      await inner.waitForChange(version, signal).catch(() => undefined);
      await new Promise<void>((resolve) => clock.after(20, process, resolve));
    }
    await controller.done;
    await relay;
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
    ask(service) {
      const decision = controller?.latest();
      if (process.state === "running" && decision !== undefined && knows(decision, service))
        clock.runAs(process, () => demand.ask(service, { caller: "web", via: "report" }, inner.nowMs()));
    },
    async end() {
      ending.abort();
      await done;
      await elector.release();
      await inner.close();
    },
  };
}
