import type { Log } from "../../src/log.ts";
import type { Metrics } from "../../src/metrics.ts";
import type { config } from "../plan/memory.ts";
import { type ApiServer, apiServer } from "./api-server.ts";
import { type Clock, type Process, virtualClock } from "./clock.ts";
import { breakAll, events } from "./events.ts";
import { goodNetwork, lookAt } from "./network.ts";
import { randomOf } from "./random.ts";
import { createRegistry, NAMES, NAMESPACE, type Registry, serviceOf } from "./registry.ts";
import { LEASE, MESH, type Mutation, type Replica, startReplica } from "./replica.ts";
import type { Step } from "./steps.ts";
import { createWitness, type Witness } from "./witness.ts";

/** Two replicas of an installation, two registries, and a cluster that others use too. */
export interface World {
  readonly clock: Clock;
  readonly api: ApiServer;
  readonly registries: readonly Registry[];
  readonly witness: Witness;
  readonly random: () => number;
  readonly replicas: readonly Replica[];
  /** Let one thing happen, and some time pass. */
  happen(step: Step): Promise<void>;
  /** End all faults: registries answer, the network is well, both processes run. */
  heal(): void;
  /** As an operator's `apply --allow-deletes`. */
  release(): void;
  /** Back to real time; the processes are no more. */
  close(): void;
}

export interface WorldOptions {
  readonly seed: number;
  readonly settings: ReturnType<typeof config>;
  readonly mutation: Mutation;
  readonly log: Log;
  readonly metrics: Metrics;
}

export function createWorld({ seed, settings, mutation, log, metrics }: WorldOptions): World {
  const random = randomOf(seed);
  const clock = virtualClock(random);
  const api = apiServer(clock.wallMs);
  const registries = settings.registries.map(({ name }) => createRegistry(name, clock, random));
  const { policy, vips, owner } = settings;
  const { quarantineMs } = vips;
  const witness = createWitness({ api, clock, owner, namespace: MESH, lease: LEASE, quarantineMs, ...policy });
  const replicas: Replica[] = [];
  let lives = 0;
  let refused: string | undefined;
  api.admission = ({ metadata }) =>
    metadata.name === refused ? { status: 400, body: { reason: "BadRequest", message: "not here" } } : undefined;

  const world: World = {
    clock,
    api,
    registries,
    witness,
    random,
    replicas,
    async happen(step) {
      await kinds[step.kind](step);
      for (const { network, process } of replicas) lookAt(network, process, clock.nowMs());
      await clock.advance(step.ms);
      for (const { network, process } of replicas) lookAt(network, process, clock.nowMs());
    },
    heal() {
      refused = undefined;
      for (const registry of registries) Object.assign(registry, { mode: "well", hints: true });
      for (const replica of replicas) {
        const { network, process } = replica;
        const { breaks: _, lastBadMs: __, ...good } = goodNetwork();
        Object.assign(network, good);
        if (process.state === "stopped") clock.resume(process);
        process.wallOffsetMs = 0;
        breakAll(replica); // a stalled watch is found out only after 90 s
      }
    },
    release() {
      const value = `${registries.map(({ name }) => name).join(",")}@${new Date(clock.wallMs()).toISOString()}`;
      const annotations = { "x2istio.io/allow-deletes": value };
      outside("PATCH", `/apis/coordination.k8s.io/v1/namespaces/${MESH}/leases/${LEASE}`, {
        metadata: { annotations },
      });
    },
    close() {
      for (const { process } of replicas) clock.kill(process);
      clock.restore();
    },
  };
  const kinds = events(world, {
    outside,
    refuse: (name) => {
      refused = name;
    },
    replace: (at) => {
      const replica = replicas[at];
      if (replica === undefined) return;
      breakAll(replica);
      replicas[at] = start();
    },
  });

  for (const name of [MESH, NAMESPACE]) outside("POST", "/api/v1/namespaces", { metadata: { name } });
  for (const registry of registries)
    for (const [at, name] of NAMES.slice(0, 5).entries()) registry.set(name, serviceOf(registry.name, name, 3, at));
  replicas.push(start(), start());
  return world;

  function start(): Replica {
    const process: Process = { name: `x2istio-${lives++}`, state: "running", wallOffsetMs: 0 };
    const { registries: configured, merge } = settings;
    const premade = { owner, namespaces: new Set([MESH, NAMESPACE]), registries: configured, merge };
    const network = goodNetwork();
    return startReplica({ world, clock, process, network, settings, premade, witness, mutation, log, metrics });
  }

  function outside(method: string, path: string, body?: object): void {
    api.handle({ method, path, body }, witness.onOutside);
  }
}
