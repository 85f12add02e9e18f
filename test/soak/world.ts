import type { Log } from "../../src/log.ts";
import type { Metrics } from "../../src/metrics.ts";
import type { config } from "../plan/memory.ts";
import { type Process, virtualClock } from "./clock.ts";
import { apiServer } from "./cluster/api-server.ts";
import { claim, claimantOf, setReady } from "./cluster/claimants.ts";
import { istioVips } from "./cluster/istio-vips.ts";
import { goodNetwork, lookAt } from "./cluster/network.ts";
import { unguard } from "./cluster/tenants.ts";
import type { Effect } from "./effects.ts";
import { breakAll, events } from "./events.ts";
import { IN_TOUCH_MS } from "./names.ts";
import { randomOf } from "./random.ts";
import { createRegistry, NAMES, NAMESPACE, serviceOf } from "./registry.ts";
import { LEASE, MESH, startReplica } from "./replica.ts";
import type { Mutation, Replica, World } from "./types.ts";
import { createWitness } from "./witness.ts";

/** Longer than its Lease lives. */
const TRAPPED_MS = 20_000;

export interface WorldOptions {
  readonly seed: number;
  readonly settings: ReturnType<typeof config>;
  readonly caseless: readonly string[];
  readonly mutation: Mutation;
  readonly log: Log;
  readonly metrics: Metrics;
}

export function createWorld({ seed, settings, caseless, mutation, log, metrics }: WorldOptions): World {
  const random = randomOf(seed);
  const clock = virtualClock(random);
  const api = apiServer(clock.wallMs);
  const effects = new Map<Effect, number>();
  const took = (effect: Effect) => void effects.set(effect, (effects.get(effect) ?? 0) + 1);
  const registries = settings.registries.map(({ name }) =>
    createRegistry(name, clock, random, { isCaseless: caseless.includes(name), took }),
  );
  const { policy, vips, owner } = settings;
  const { quarantineMs } = vips;
  const reported = new Set(settings.registries.filter(({ demand }) => demand === "reported").map(({ name }) => name));
  const options = {
    ...{ api, clock, owner, namespace: MESH, lease: LEASE, quarantineMs, ...policy, reported, took },
    isInTouch(process: Process) {
      const replica = replicas.find((one) => one.process === process);
      return replica !== undefined && clock.nowMs() - replica.network.lastBadMs > IN_TOUCH_MS;
    },
  };
  const witness = createWitness(options);
  if (vips.mode === "istio")
    api.onKept = istioVips(clock, ({ metadata: { namespace, name } }, value) => {
      const path = `/apis/networking.istio.io/v1/namespaces/${namespace}/serviceentries/${name}`;
      if (outside("PATCH", path, { status: { addresses: [{ value }] } })) took("Istio gives an address");
    });
  const replicas: Replica[] = [];
  let lives = 0;
  let refused: string | undefined;
  let forbidden: RegExp | undefined;
  let refusedMs = Number.NEGATIVE_INFINITY;
  /** Whom to stop, and after how many more writes. */
  let trap: { readonly process: Process; left: number } | undefined;
  api.admission = ({ metadata }) => {
    if (metadata.name !== refused) return undefined;
    took("a write is refused by admission");
    return { status: 400, body: { reason: "BadRequest", message: "not here" } };
  };

  const world: World = {
    clock,
    api,
    registries,
    witness,
    random,
    replicas,
    settings,
    wanted: new Set(),
    heirs: new Set(),
    claims: new Map(),
    outside,
    effects,
    took,
    isForbidden(method, path) {
      const isRefused = forbidden?.test(`${method} ${path}`) === true;
      if (isRefused) refusedMs = clock.nowMs();
      return isRefused;
    },
    refusedMs: () => refusedMs,
    onWrite(process) {
      if (trap?.process !== process || --trap.left > 0) return;
      trap = undefined;
      clock.stop(process);
      clock.after(TRAPPED_MS, undefined, () => {
        if (process.state === "stopped") clock.resume(process);
      });
    },
    async happen(step) {
      const effect = await kinds[step.kind](step);
      if (effect !== undefined) took(effect);
      look();
      await clock.advance(step.ms);
      look();
    },
    heal() {
      refused = undefined;
      forbidden = undefined;
      trap = undefined;
      for (const registry of registries) Object.assign(registry, { mode: "well", hints: true });
      unguard(api, outside);
      for (const [name, asked] of world.claims) {
        setReady(outside, claimantOf(name), true);
        // Another request, so that what was stepped back goes on.
        const again = { ...asked, request: `${asked.request}+` };
        world.claims.set(name, again);
        claim(outside, name, again);
      }
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
      const annotations = { "x2istio.dev/allow-deletes": value };
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
    forbid: (pattern) => {
      forbidden = pattern;
      if (pattern?.source.startsWith("^GET") === true) for (const replica of replicas) breakAll(replica);
    },
    trap: (process, left) => {
      trap = { process, left };
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

  function look(): void {
    for (const { network, process } of replicas) {
      if (forbidden !== undefined) network.lastBadMs = clock.nowMs();
      lookAt(network, process, clock.nowMs());
    }
  }

  function outside(method: string, path: string, body?: object): boolean {
    return api.handle({ method, path, body }, witness.onOutside).status < 300;
  }
}
