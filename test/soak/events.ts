import { PREMADE_NAMESPACE_ANNOTATION, PREMADE_SERVICE_ANNOTATION } from "../../src/model/premade.ts";
import type { Kept } from "./api-server.ts";
import { NAMES, NAMESPACE, type Registry, serviceOf } from "./registry.ts";
import { MESH, type Replica } from "./replica.ts";
import { FAULTS, type Kind, MODES, type Step } from "./steps.ts";
import type { World } from "./world.ts";

/** What only the world itself can do. */
export interface Hands {
  /** A request of someone else. */
  outside(method: string, path: string, body?: object): void;
  /** Refuse what has this name, until another is named. */
  refuse(name: string | undefined): void;
  /** Another process takes the place of this one. */
  replace(at: number): void;
}

const ISTIO = "/apis/networking.istio.io/v1";
const MEDDLED_MS = 900_000;
const PLURALS = ["serviceentries", "services", "virtualservices"] as const;

/** What each kind of step does. */
export function events(world: World, hands: Hands): Readonly<Record<Kind, (step: Step) => void | Promise<void>>> {
  const { clock, api, registries, replicas } = world;
  const registryOf = ({ who }: Step) => pick(registries, who);
  const replicaOf = ({ who }: Step) => pick(replicas, who);
  const meddled = new Map<string, readonly number[]>();

  return {
    change: (step) => {
      const registry = registryOf(step);
      const name = pick(NAMES, step.n);
      registry.set(name, serviceOf(registry.name, name, 1 + (step.m % 4), step.m));
    },
    remove: (step) => registryOf(step).set(pick(NAMES, step.n), undefined),
    empty: (step) => {
      const registry = registryOf(step);
      const name = pick(NAMES, step.n);
      registry.set(name, serviceOf(registry.name, name, 0, step.m));
    },
    mode: (step) => answerBy(registryOf(step), pick(MODES, step.n), step.m),
    well: (step) => answerBy(registryOf(step), "well", 0),
    hints: (step) => void Object.assign(registryOf(step), { hints: step.n % 2 === 0 }),
    requests: (step) => {
      const bad = { faultPercent: pick([0, 20, 50, 100], step.n), fault: pick(FAULTS, step.m) };
      const latencyMs = pick([5, 5, 50, 1500], step.n + step.m);
      const touched = step.n % 3 === 0 ? replicas : [replicaOf(step)];
      for (const { network } of touched) Object.assign(network, bad, { latencyMs });
    },
    watches: (step) => {
      const { network } = replicaOf(step);
      Object.assign(network, { watchDelayMs: pick([0, 500, 5000, 20_000], step.n), isSilent: step.m % 4 === 0 });
    },
    breakWatches: (step) => breakAll(replicaOf(step)),
    compact: () => api.compact(),
    foreign: (step) => foreign(step, registryOf(step)),
    unforeign: ({ n }) => {
      const [kept, plural] = chosen(n, (object) => !isOurs(object));
      if (kept !== undefined) hands.outside("DELETE", pathOf(kept, plural));
    },
    drift: (step) => drift(step),
    removed: ({ n }) => {
      const [kept, plural] = chosen(n, isOurs);
      if (kept !== undefined && mayMeddle(kept)) hands.outside("DELETE", pathOf(kept, plural));
    },
    premade: ({ n }) => {
      const name = pick(NAMES, n);
      const annotations = { [PREMADE_NAMESPACE_ANNOTATION]: NAMESPACE, [PREMADE_SERVICE_ANNOTATION]: name };
      hands.outside("POST", `${ISTIO}/namespaces/${MESH}/serviceentries`, {
        metadata: { name: "by-hand", labels: { registry: "dc1" }, annotations },
        spec: { hosts: ["dev.by-hand.example.org"], ports: [], endpoints: [], resolution: "STATIC" },
      });
    },
    ledger: ({ n }) => claim(n),
    refuse: (step) => {
      const host = hostOf(registryOf(step), pick(NAMES, step.n));
      hands.refuse(pick([host, undefined, pick(NAMES, step.n)], step.m));
    },
    kill: (step) => {
      const { process } = replicaOf(step);
      clock.kill(process);
      hands.replace(replicas.indexOf(replicaOf(step)));
    },
    restart: (step) => restart(replicaOf(step)),
    freeze: (step) => {
      const { process } = replicaOf(step);
      if (process.state !== "running") return;
      clock.stop(process);
      clock.after(pick([500, 3000, 12_000, 30_000], step.n), undefined, () => {
        if (process.state === "stopped") clock.resume(process);
      });
    },
    wallClock: (step) => {
      replicaOf(step).process.wallOffsetMs = (step.n - 500) * 10_000;
    },
    release: () => world.release(),
  };

  function answerBy(registry: Registry, mode: Registry["mode"], part: number): void {
    Object.assign(registry, { mode, part });
    const [name] = NAMES;
    registry.set(name, registry.services.get(name)); // whoever waits hears of it
  }

  /** What others change again and again is put back ever more rarely: that is not asked for here. */
  function mayMeddle({ kind, metadata }: Kept): boolean {
    const key = `${kind}/${metadata.name}`;
    const times = (meddled.get(key) ?? []).filter((atMs) => atMs > clock.nowMs() - MEDDLED_MS);
    meddled.set(key, [...times, clock.nowMs()]);
    return times.length < 2;
  }

  /** Somebody's own object, by a name that an object of ours is about to have or has. */
  function foreign({ n, m }: Step, registry: Registry): void {
    const free = NAMES.filter((name) => api.get("serviceentries", MESH, hostOf(registry, name)) === undefined);
    const name = pick(free.length === 0 ? NAMES : free, n);
    if (m % 4 > 0) registry.set(name, serviceOf(registry.name, name, 2, m));
    // Now or in the middle of the pass that creates ours.
    clock.after(m % 2 === 0 ? 1 : n % 80, undefined, () => {
      if (m % 3 === 0)
        hands.outside("POST", `${ISTIO}/namespaces/${MESH}/serviceentries`, {
          metadata: { name: hostOf(registry, name), labels: { app: "theirs" } },
          spec: { hosts: ["theirs.example.org"], ports: [{ number: 80, name: "http", protocol: "HTTP" }] },
        });
      else
        hands.outside("POST", `/api/v1/namespaces/${NAMESPACE}/services`, {
          metadata: { name: registry.name === "dc1" ? name : `${name}-p`, labels: { app: "theirs" } },
          spec: { type: "ClusterIP", selector: { app: "theirs" }, ports: [{ port: 80 }] },
        });
    });
  }

  /** Somebody's edit of an object of ours, or their taking it over. */
  function drift({ n, m }: Step): void {
    const [kept, plural] = chosen(n, isOurs);
    if (kept === undefined || !mayMeddle(kept)) return;
    const path = pathOf(kept, plural);
    if (plural === "serviceentries")
      hands.outside("PATCH", path, { spec: { endpoints: [{ address: `203.0.113.${1 + (m % 9)}` }] } });
    else if (plural === "virtualservices") hands.outside("PATCH", path, { spec: { hosts: ["other.example.org"] } });
    else if (m % 3 > 0) hands.outside("PATCH", path, { spec: { externalName: "other.example.org" } });
    else hands.outside("PATCH", path, { spec: { type: "ClusterIP", selector: { app: "theirs" } } });
  }

  /** Another installation that shares the ledger takes an address, or gives one back. */
  function claim(n: number): void {
    const name = "x2istio-vips-10-9-0-0";
    const path = `/api/v1/namespaces/${MESH}/configmaps`;
    const data = (api.get("configmaps", MESH, name)?.data ?? {}) as Record<string, string>;
    const theirs = Object.keys(data).filter((key) => data[key]?.includes(" west "));
    const free = Array.from({ length: 14 }, (_, at) => `10-9-0-${at + 1}`).filter((key) => data[key] === undefined);
    const key = free[n % Math.max(1, free.length)];
    if (theirs.length > 1) hands.outside("PATCH", `${path}/${name}`, { data: { [theirs[0] ?? ""]: null } });
    else if (key !== undefined && Object.keys(data).length > 0)
      hands.outside("PATCH", `${path}/${name}`, { data: { [key]: `web-${n}.example.org west used` } });
  }

  async function restart(replica: Replica): Promise<void> {
    const { process } = replica;
    if (process.state === "stopped") clock.resume(process);
    let hasEnded = false;
    void clock.runAs(process, () => replica.end()).then(() => (hasEnded = true));
    for (let waits = 0; !hasEnded; waits++) {
      if (waits > 120) throw new Error(`${process.name} does not end when it is told to`);
      await clock.advance(500);
    }
    clock.kill(process);
    hands.replace(replicas.indexOf(replica));
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
  return metadata.labels?.["x2istio.io/owner"] === "east";
}

function pathOf({ metadata }: Kept, plural: string): string {
  const base = plural === "services" ? "/api/v1" : ISTIO;
  return `${base}/namespaces/${metadata.namespace}/${plural}/${metadata.name}`;
}

function pick<T>(list: readonly T[], n: number): T {
  return list[n % list.length] as T;
}
