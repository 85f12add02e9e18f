import type { Controller } from "../../src/controller/controller.ts";
import type { Leadership } from "../../src/controller/leadership.ts";
import type { KubeClient } from "../../src/kube/client/client.ts";
import type { NameTable } from "../../src/model/name-table.ts";
import type { ServiceKey } from "../../src/model/service.ts";
import type { Target } from "../../src/model/target.ts";
import type { config } from "../plan/memory.ts";
import type { Clock, Process } from "./clock.ts";
import type { ApiServer } from "./cluster/api-server.ts";
import type { Network } from "./cluster/network.ts";
import type { Effect } from "./effects.ts";
import type { Registry } from "./registry.ts";
import type { Step } from "./steps.ts";
import type { Witness } from "./witness.ts";

/** Two replicas of an installation, two registries, and a cluster that others use too. */
export interface World {
  readonly clock: Clock;
  readonly api: ApiServer;
  readonly registries: readonly Registry[];
  readonly witness: Witness;
  readonly random: () => number;
  readonly replicas: readonly Replica[];
  readonly settings: ReturnType<typeof config>;
  /** Services that somebody asked for. */
  readonly wanted: Set<ServiceKey>;
  /** Services that were to have a name of another one: they stand for that name, and go on. */
  readonly heirs: Set<ServiceKey>;
  /** By service of dc1, what was asked of its claimant last: how it stands is up to the product. */
  readonly claims: Map<string, { readonly stage: string; readonly weight?: number; readonly request: string }>;
  /** A request of someone else; whether it was taken. */
  outside(method: string, path: string, body?: object): boolean;
  /** Let one thing happen, and some time pass. */
  happen(step: Step): Promise<void>;
  /** End all faults: registries answer, the network is well, both processes run. */
  heal(): void;
  /** As an operator's `apply --allow-deletes`. */
  release(): void;
  /** Whether the API server refuses this to us, for want of rights. */
  isForbidden(method: string, path: string): boolean;
  /** When that was last. */
  refusedMs(): number;
  /** A process is about to send a write to the mesh. */
  onWrite(process: Process): void;
  /** Something that a step was to bring about has come about. */
  took(effect: Effect): void;
  /** How often each has. */
  readonly effects: ReadonlyMap<Effect, number>;
  /** Back to real time; the processes are no more. */
  close(): void;
}

/** One life of one replica: the product's own controller, target, Lease and name table. */
export interface Replica {
  readonly process: Process;
  readonly network: Network;
  readonly target: Target;
  isLeader(): boolean;
  table(): NameTable | undefined;
  controller(): Controller | undefined;
  /** Whole passes that have ended, with their writes. */
  passes(): number;
  /** Somebody asks it for a service. */
  ask(service: ServiceKey): void;
  /** SIGTERM; resolves when it has ended. */
  end(): Promise<void>;
}

/** Ways to break the product from outside, each as a fault in its code would. */
export interface Mutation {
  readonly client?: (client: KubeClient, world: World) => KubeClient;
  readonly target?: (target: Target) => Target;
  readonly leadership?: (leadership: Leadership) => Leadership;
  readonly adapter?: (adapter: ReturnType<Registry["adapter"]>) => ReturnType<Registry["adapter"]>;
  readonly settings?: (settings: ReturnType<typeof config>) => ReturnType<typeof config>;
}
