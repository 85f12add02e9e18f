import { PREMADE_NAMESPACE_ANNOTATION, PREMADE_SERVICE_ANNOTATION } from "../../src/model/premade.ts";
import { serviceKey } from "../../src/model/service.ts";
import type { Process } from "./clock.ts";
import type { Kept } from "./cluster/api-server.ts";
import { claim, claimantOf, setReady } from "./cluster/claimants.ts";
import { guard, pathOf, type TenantAct, tenantActs, unguard } from "./cluster/tenants.ts";
import { type Effect, FAULTS, MODES } from "./effects.ts";
import { MOVES } from "./moves.ts";
import { NAMES, NAMESPACE, type Registry, serviceOf } from "./registry.ts";
import { MESH } from "./replica.ts";
import type { Kind, Step } from "./steps.ts";
import type { Replica, World } from "./types.ts";

/** What only the world itself can do. */
export interface WorldActions {
  /** A request of someone else. */
  outside(method: string, path: string, body?: object): boolean;
  /** Refuse what has this name, until another is named. */
  refuse(name: string | undefined): void;
  /** Refuse requests like this (method and path) for want of rights, until others are named. */
  forbid(pattern: RegExp | undefined): void;
  /** Stop a process in the middle of its writes, for longer than its Lease lives. */
  trap(process: Process, afterWrites: number): void;
  /** Another process takes the place of this one. */
  replace(at: number): void;
}

const ISTIO = "/apis/networking.istio.io/v1";
const MEDDLED_MS = 900_000;
const OTHER = "another process is killed, restarted or frozen";
const WRITES = "^(POST|PATCH|DELETE) ";
/** What may no longer be done, or nothing. */
const RIGHTS: readonly (RegExp | undefined)[] = [
  new RegExp(`${WRITES}.*/serviceentries`),
  new RegExp(`${WRITES}.*/virtualservices`),
  new RegExp(`${WRITES}/api/v1/namespaces/${NAMESPACE}/services`),
  new RegExp(`${WRITES}.*/namespaces/${MESH}/(serviceentries|virtualservices|configmaps)`),
  new RegExp(`${WRITES}.*/configmaps`),
  new RegExp(`${WRITES}.*/leases`),
  /^(POST|PATCH) .*\/(serviceentries|services|virtualservices)/,
  /^GET .*\/services\?/,
  /^GET .*\/serviceentries\?/,
  /^GET .*\/(configmaps|virtualservices)\?/,
  /^GET .*\/leases/,
  undefined,
];
const TENANT_ACTS: readonly TenantAct[] = ["speak", "host", "address", "egress", "mutual-tls"];
const TENANT_EFFECTS: Readonly<Record<TenantAct, Effect>> = {
  speak: "a tenant speaks for a host of ours",
  host: "a tenant takes a host or an address",
  address: "a tenant takes a host or an address",
  egress: "a tenant restricts a namespace",
  "mutual-tls": "a tenant restricts a namespace",
};
const PLURALS = ["serviceentries", "services", "virtualservices"] as const;

/** What each kind of step does. */
export function events(
  world: World,
  actions: WorldActions,
): Readonly<Record<Kind, (step: Step) => Effect | undefined | Promise<Effect>>> {
  const { clock, api, registries, replicas } = world;
  const registryOf = ({ who }: Step) => pick(registries, who);
  const replicaOf = ({ who }: Step) => pick(replicas, who);
  const meddled = new Map<string, readonly number[]>();

  return {
    change: (step) => {
      const registry = registryOf(step);
      const name = pick(NAMES, step.n);
      registry.set(name, serviceOf(registry.name, name, 1 + (step.m % 4), step.m));
      return "a service changes";
    },
    remove: (step) => {
      const registry = registryOf(step);
      const isListed = registry.services.has(pick(NAMES, step.n));
      registry.set(pick(NAMES, step.n), undefined);
      return isListed ? "a service is removed" : undefined;
    },
    empty: (step) => {
      const registry = registryOf(step);
      const name = pick(NAMES, step.n);
      registry.set(name, serviceOf(registry.name, name, 0, step.m));
      return "a service is emptied";
    },
    halve: (step) => MOVES.halve(step, registryOf(step)),
    rename: (step) => MOVES.rename(step, registryOf(step), world.heirs),
    moveName: (step) => MOVES.moveName(step, registryOf(step), pick(registries, step.who + 1), world.heirs),
    spelling: (step) => MOVES.spelling(step, registryOf(step)),
    mode: (step) => answerBy(registryOf(step), pick(MODES, step.n), step.m),
    well: (step) => answerBy(registryOf(step), "well", 0),
    hints: (step) => {
      registryOf(step).hints = step.n % 2 === 0;
      return undefined;
    },
    requests: (step) => {
      const bad = { faultPercent: pick([0, 20, 50, 100], step.n), fault: pick(FAULTS, step.m) };
      const latencyMs = pick([5, 5, 50, 1500], step.n + step.m);
      const touched = step.n % 3 === 0 ? replicas : [replicaOf(step)];
      for (const { network } of touched) Object.assign(network, bad, { latencyMs });
      return undefined;
    },
    watches: (step) => {
      const { network } = replicaOf(step);
      Object.assign(network, { watchDelayMs: pick([0, 500, 5000, 20_000], step.n), isSilent: step.m % 4 === 0 });
      return undefined;
    },
    breakWatches: (step) => {
      const isOpen = replicaOf(step).network.breaks.size > 0;
      breakAll(replicaOf(step));
      return isOpen ? "a watch breaks" : undefined;
    },
    compact: () => {
      api.compact();
      return undefined;
    },
    foreign: (step) => foreign(step, registryOf(step)),
    unforeign: ({ n }) => {
      const [kept, plural] = chosen(n, (object) => !isOurs(object));
      if (kept === undefined) return undefined;
      return actions.outside("DELETE", pathOf(kept, plural)) ? "someone deletes an object" : undefined;
    },
    drift: (step) => (drift(step) ? "someone changes an object of ours" : undefined),
    removed: ({ n }) => {
      const [kept, plural] = chosen(n, isOurs);
      if (kept === undefined || !mayMeddle(kept)) return undefined;
      return actions.outside("DELETE", pathOf(kept, plural)) ? "someone deletes an object of ours" : undefined;
    },
    premade: ({ n }) => {
      const name = pick(NAMES, n);
      const annotations = { [PREMADE_NAMESPACE_ANNOTATION]: NAMESPACE, [PREMADE_SERVICE_ANNOTATION]: name };
      const isNew = actions.outside("POST", `${ISTIO}/namespaces/${MESH}/serviceentries`, {
        metadata: { name: "by-hand", labels: { registry: "dc1" }, annotations },
        spec: { hosts: ["dev.by-hand.example.org"], ports: [], endpoints: [], resolution: "STATIC" },
      });
      return isNew ? "someone asks for an entry to be filled" : undefined;
    },
    ledger: ({ n }) => shareLedger(n),
    guard: ({ n, m }) => {
      if (m % 4 === 0) return void unguard(api, actions.outside);
      const [kept, plural] = chosen(n, isOurs);
      if (
        kept === undefined ||
        kept.metadata.deletionTimestamp != null ||
        !guard(actions.outside, pathOf(kept, plural))
      )
        return undefined;
      // Some of them are just then to go.
      if (m % 4 === 1 && mayMeddle(kept)) actions.outside("DELETE", pathOf(kept, plural));
      return "someone's finalizer keeps an object of ours";
    },
    tenant: (step) => tenant(step, registryOf(step)),
    refuse: (step) => {
      const host = hostOf(registryOf(step), pick(NAMES, step.n));
      actions.refuse(pick([host, undefined, pick(NAMES, step.n)], step.m));
      return undefined;
    },
    forbid: ({ n }) => {
      actions.forbid(pick(RIGHTS, n));
      return undefined;
    },
    kill: (step) => {
      const replica = replicaOf(step);
      const isLeader = replica.isLeader();
      clock.kill(replica.process);
      actions.replace(replicas.indexOf(replica));
      return isLeader ? "the leader is killed" : OTHER;
    },
    restart: (step) => restart(replicaOf(step)),
    lose: (step) => {
      const leader = replicas.find((replica) => replica.isLeader());
      if (leader === undefined) return undefined;
      // What is new takes several writes, one after the other.
      for (const registry of registries)
        for (const name of NAMES.filter((one) => !registry.services.has(one)))
          registry.set(name, serviceOf(registry.name, name, 2, step.m));
      actions.trap(leader.process, 1 + (step.n % 5));
      return undefined;
    },
    freeze: (step) => {
      const replica = replicaOf(step);
      const { process } = replica;
      if (process.state !== "running") return undefined;
      const isLeader = replica.isLeader();
      clock.stop(process);
      clock.after(pick([500, 3000, 12_000, 30_000], step.n), undefined, () => {
        if (process.state === "stopped") clock.resume(process);
      });
      return isLeader ? "the leader is frozen" : OTHER;
    },
    wallClock: (step) => {
      replicaOf(step).process.wallOffsetMs = (step.n - 500) * 10_000;
      return "a wall clock is wrong";
    },
    claim: (step) => claimed(step),
    retire: ({ n }) => {
      const all = [...world.claims].filter(([, { stage }]) => ["inside", "retired"].includes(stage));
      const [name, asked] = all[n % Math.max(1, all.length)] ?? [];
      if (name === undefined || asked === undefined) return undefined;
      const [dc1] = registries;
      const service = dc1?.services.get(name);
      // Nothing of it is left outside, or it comes back.
      if (service !== undefined) dc1?.set(name, n % 3 > 0 ? { ...service, endpoints: [] } : undefined);
      const retired = { stage: "retired", request: asked.request };
      if (claim(actions.outside, name, retired)) world.claims.set(name, retired);
      return undefined;
    },
    ask: (step) => {
      const service = serviceKey("prod", NAMESPACE, pick(NAMES, step.n));
      world.wanted.add(service);
      replicaOf(step).ask(service);
      return undefined;
    },
    release: () => {
      world.release();
      return undefined;
    },
  };

  /** The owner of a service moves it, or their pods fail. */
  function claimed({ n, m }: Step): undefined {
    const name = pick(NAMES, n);
    const isReady = m % 9 !== 7;
    if (m % 9 > 6 && setReady(actions.outside, claimantOf(name), isReady) && !isReady)
      world.took("a claimant has nothing ready");
    if (m % 9 > 6) return undefined;
    if (n % 5 === 0 && !world.claims.has(name))
      return void claim(actions.outside, name, { stage: "inside", request: "" }, false);
    if (api.get("services", NAMESPACE, claimantOf(name, false)) !== undefined) return undefined;
    const stage = pick(["split", "split", "inside", "inside", "inside", "outside"], m % 9);
    const asked = { stage, ...(stage === "split" ? { weight: (n * 7) % 101 } : {}), request: `${clock.nowMs()}` };
    if (claim(actions.outside, name, asked)) world.claims.set(name, asked);
    return undefined;
  }

  function answerBy(registry: Registry, mode: Registry["mode"], part: number): undefined {
    Object.assign(registry, { mode, part });
    const [name] = NAMES;
    registry.set(name, registry.services.get(name)); // whoever waits hears of it
    return undefined;
  }

  /** What others change again and again is put back ever more rarely: that is not asked for here. */
  function mayMeddle({ kind, metadata }: Kept): boolean {
    const key = `${kind}/${metadata.name}`;
    const times = (meddled.get(key) ?? []).filter((atMs) => atMs > clock.nowMs() - MEDDLED_MS);
    meddled.set(key, [...times, clock.nowMs()]);
    return times.length < 2;
  }

  /** Somebody's own object, by a name that an object of ours is about to have or has. */
  function foreign({ n, m }: Step, registry: Registry): undefined {
    const free = NAMES.filter((name) => api.get("serviceentries", MESH, hostOf(registry, name)) === undefined);
    const name = pick(free.length === 0 ? NAMES : free, n);
    if (m % 4 > 0) registry.set(name, serviceOf(registry.name, name, 2, m));
    // Now or in the middle of the pass that creates ours.
    clock.after(m % 2 === 0 ? 1 : n % 80, undefined, () => {
      const isNew =
        m % 3 === 0
          ? actions.outside("POST", `${ISTIO}/namespaces/${MESH}/serviceentries`, {
              metadata: { name: hostOf(registry, name), labels: { app: "theirs" } },
              spec: { hosts: ["theirs.example.org"], ports: [{ number: 80, name: "http", protocol: "HTTP" }] },
            })
          : actions.outside("POST", `/api/v1/namespaces/${NAMESPACE}/services`, {
              metadata: { name: registry.name === "dc1" ? name : `${name}-p`, labels: { app: "theirs" } },
              spec: { type: "ClusterIP", selector: { app: "theirs" }, ports: [{ port: 80 }] },
            });
      if (isNew) world.took("someone creates an object");
    });
    return undefined;
  }

  /** A tenant's own object, which speaks of what is ours or is in its way; or it goes. */
  function tenant({ n, m }: Step, registry: Registry): Effect | undefined {
    const act = pick(TENANT_ACTS, n);
    const host = m % 2 === 0 ? hostOf(registry, pick(NAMES, m)) : `${pick(NAMES, m)}.${registry.name}.example.org`;
    const done = tenantActs(actions.outside, { act, namespace: NAMESPACE, host, address: `10.9.0.${1 + (m % 14)}` });
    if (done === "no") return undefined;
    return done === "made" ? TENANT_EFFECTS[act] : "a tenant's object goes";
  }

  /** Somebody's edit of an object of ours, or their taking it over. */
  function drift({ n, m }: Step): boolean {
    const [kept, plural] = chosen(n, isOurs);
    if (kept === undefined || !mayMeddle(kept)) return false;
    const path = pathOf(kept, plural);
    if (plural === "serviceentries")
      return actions.outside("PATCH", path, { spec: { endpoints: [{ address: `203.0.113.${1 + (m % 9)}` }] } });
    if (plural === "virtualservices") return actions.outside("PATCH", path, { spec: { hosts: ["other.example.org"] } });
    if (m % 3 > 0) return actions.outside("PATCH", path, { spec: { externalName: "other.example.org" } });
    return actions.outside("PATCH", path, { spec: { type: "ClusterIP", selector: { app: "theirs" } } });
  }

  /** Another installation that shares the ledger takes an address, or gives one back. */
  function shareLedger(n: number): Effect | undefined {
    const name = "x2istio-vips-10-9-0-0";
    const path = `/api/v1/namespaces/${MESH}/configmaps`;
    const data = (api.get("configmaps", MESH, name)?.data ?? {}) as Record<string, string>;
    const theirs = Object.keys(data).filter((key) => data[key]?.includes(" west "));
    const free = Array.from({ length: 14 }, (_, at) => `10-9-0-${at + 1}`).filter((key) => data[key] === undefined);
    const key = free[n % Math.max(1, free.length)];
    const write = (key: string, line: string | null) =>
      actions.outside("PATCH", `${path}/${name}`, { data: { [key]: line } });
    if (theirs.length > 1) return write(theirs[0] ?? "", null) ? "someone gives an address back" : undefined;
    if (key === undefined || Object.keys(data).length === 0) return undefined;
    return write(key, `web-${n}.example.org west used`) ? "someone takes an address" : undefined;
  }

  async function restart(replica: Replica): Promise<Effect> {
    const { process } = replica;
    const isLeader = replica.isLeader();
    if (process.state === "stopped") clock.resume(process);
    let hasEnded = false;
    void clock.runAs(process, () => replica.end()).then(() => (hasEnded = true));
    for (let waits = 0; !hasEnded; waits++) {
      if (waits > 120) throw new Error(`${process.name} does not end when it is told to`);
      await clock.advance(500);
    }
    clock.kill(process);
    actions.replace(replicas.indexOf(replica));
    return isLeader ? "the leader is restarted" : OTHER;
  }

  function chosen(n: number, fits: (object: Kept) => boolean): readonly [Kept | undefined, string] {
    const all = PLURALS.flatMap((plural) => api.objects(plural).map((object) => [object, plural] as const));
    const fitting = all.filter(([object]) => fits(object));
    return fitting[n % Math.max(1, fitting.length)] ?? [undefined, ""];
  }
}

function hostOf({ name: registry }: Registry, name: string): string {
  return `${name}.${NAMESPACE}.${registry}.mesh.internal`;
}

export function breakAll({ network }: Replica): void {
  for (const end of [...network.breaks]) end();
}

export function isOurs({ metadata }: Kept): boolean {
  return metadata.labels?.["x2istio.dev/owner"] === "east";
}

function pick<T>(list: readonly T[], n: number): T {
  return list[n % list.length] as T;
}
