import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Replica, ready, startReplica } from "../e2e/cli.ts";
import { type EntrySpec, entriesPath, get, MESH, SHOP } from "../e2e/cluster.ts";
import { type FileService, type Fixture, fixture, hostOf } from "../e2e/fixture.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Child, onDeathOfThisProcess } from "../servers/child.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { installDefinitions, until } from "../servers/kube-admin.ts";
import { type Agent, CAPTURED_DNS, startAgent } from "./agent.ts";
import { type Backend, type RunningBackend, startBackend } from "./backends.ts";
import { startCoreDns } from "./coredns.ts";
import { type Envoy, startEnvoy, type Workload } from "./envoy.ts";
import { type Istiod, type IstiodOptions, type StartContext, startIstiod } from "./istiod.ts";
import { type Manifest, pathOf } from "./manifests.ts";
import {
  CLUSTER_DNS,
  dropPodNetwork,
  meshServers,
  NODE,
  type PodNetwork,
  podNetwork,
  redirectToSidecar,
} from "./network.ts";
import { type App, startApp } from "./pod.ts";

/** Options of {@link startMesh}. */
export interface MeshOptions {
  /** Services of the static registry `vms`. */
  readonly services?: readonly FileService[];
  /** Sections of x2istio's configuration, in place of those of {@link fixture}; where it listens is not theirs to say. */
  readonly sections?: Readonly<Record<string, unknown>>;
  readonly istiod?: IstiodOptions;
  /** Created besides mesh-services, shop and istio-system. */
  readonly namespaces?: readonly string[];
  /** Applied before istiod starts. */
  readonly manifests?: readonly Manifest[];
}

/** Options of a pod. */
export interface PodOptions {
  /** Default `shop`. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly locality?: Workload["locality"];
  /** Has an IPv6 address, too, as far as istiod knows. */
  readonly bothFamilies?: boolean;
  /** Its DNS server; the cluster's by default. */
  readonly nameserver?: string;
  /** Has Istio's agent, which answers its DNS and stands between its proxy and istiod. */
  readonly hasAgent?: boolean;
  /** Further metadata of its proxy, such as `{DNS_CAPTURE: "true"}`. */
  readonly metadata?: Workload["metadata"];
}

/** A pod without a program. */
export interface Pod {
  readonly network: PodNetwork;
  /** Who it is to istiod. */
  readonly workload: Workload;
  /** Where the mesh keeps configurations and logs. */
  readonly dir: string;
  /** Told of each process in it, which then ends with the mesh. */
  onChild(child: Child, name: string): void;
}

/** A whole mesh: API server, istiod, the cluster's DNS and x2istio. */
export interface Mesh {
  readonly kube: Kube;
  readonly istiod: Istiod;
  readonly replica: Replica;
  readonly fixture: Fixture;
  /** Start a program in a pod with a sidecar that all it sends by TCP goes through. */
  withSidecar(name: string, options?: PodOptions): Promise<App & { readonly envoy: Envoy }>;
  /** Start a program in a pod without sidecar; its gRPC client knows istiod. */
  withoutSidecar(name: string, options?: PodOptions): Promise<App>;
  /** Make the network of a pod, for a program that the test starts itself. */
  pod(name: string, options?: PodOptions): Promise<Pod>;
  /** Start Istio's agent in such a pod. */
  agent(pod: Pod): Promise<Agent>;
  /** Start a gateway; Gateways choose it by its labels. Its address is what callers of it need. */
  gateway(name: string, options?: PodOptions): Promise<{ readonly address: string; readonly envoy: Envoy }>;
  /** Start servers outside the cluster, until the end of the test or their `stop`. */
  backends(...backends: readonly Backend[]): Promise<readonly RunningBackend[]>;
  /** Create an object or replace all that was applied of it before. */
  apply(...manifests: readonly Manifest[]): Promise<void>;
  remove(...manifests: readonly Manifest[]): Promise<void>;
  /** The entry of a host of ours, once it is there. */
  entry(host: string): Promise<EntrySpec>;
  /** First VIP of a service of registry vms. */
  vip(service: FileService): Promise<string>;
  /**
   * Wait until `look` gives `want`.
   *
   * @throws After `timeoutMs`, a minute by default, with what it gave last.
   */
  becomes<Value>(want: Value, look: () => Promise<Value>, timeoutMs?: number): Promise<void>;
}

/**
 * Start a mesh. It ends with the test, or with this process; if the test failed, the ends of all logs and what proxies were
 * told is shown. Needs `ownNetwork()`.
 */
export async function startMesh(t: TestContext, options: MeshOptions = {}): Promise<Mesh> {
  const startedMs = performance.now();
  const paths = await ensureServers(meshServers);
  if (paths === undefined) throw new Error(`Cannot start a mesh: ${noServers}`);
  const dir = await mkdtemp(join(tmpdir(), "x2istio-mesh-"));
  const guard = onDeathOfThisProcess('sleep 1; rm -rf "$1"', dir);
  const children = new Map<string, Child>();
  const envoys = new Map<string, Envoy>();
  const pods: string[] = [];
  const namespaces = [MESH, SHOP, "istio-system", ...(options.namespaces ?? [])];
  const kube = await startKube({ namespaces });
  const running: { replica?: Replica } = {};
  let wasShown = false;
  const showIfFailed = async (of: unknown) => {
    // Known to Node since 22, though its types lack it. A test does not know of its subtests' failure.
    if (wasShown || (of as { readonly passed?: boolean }).passed !== false) return;
    wasShown = true;
    await show(t, running.replica, children, envoys);
  };
  t.afterEach(showIfFailed);
  t.after(async () => {
    await showIfFailed(t);
    await running.replica?.stop();
    await Promise.all([...children.values()].map((child) => child.stop(0)));
    await Promise.all(pods.map(dropPodNetwork));
    guard.kill("SIGKILL");
    await kube.stop();
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  });
  const context = (binary: string): StartContext => ({
    binary,
    dir,
    kube,
    onChild: (child, name) => children.set(name, child),
  });
  const apply = async (...manifests: readonly Manifest[]) => {
    for (const manifest of manifests) {
      const { status, body } = await kube.request(
        "PATCH",
        `${pathOf(manifest)}?fieldManager=test&force=true`,
        manifest,
        { contentType: "application/apply-patch+yaml" },
      );
      assert.ok(status < 300, `${pathOf(manifest)}: ${status} ${JSON.stringify(body)}`);
    }
  };
  await installDefinitions(kube, paths["gateway-crds"]);
  // Proxies have no certificates here: without this they wait for them.
  await apply(plainText, ...(options.manifests ?? []));
  const place = await listening(await fixture(t, options.services ?? [], options.sections), options.sections);
  const replica = startReplica(t, { ...place, env: { KUBECONFIG: kube.kubeconfigPath } });
  running.replica = replica;
  const [istiod] = await Promise.all([
    startIstiod(context(paths["pilot-discovery"]), options.istiod ?? {}),
    startCoreDns(context(paths.coredns), place.ports.dns),
    ready(replica, 60_000),
  ]);
  t.diagnostic(`the mesh stood after ${Math.round(performance.now() - startedMs)} ms`);

  async function pod(name: string, options: PodOptions = {}): Promise<Pod> {
    const { namespace = SHOP, labels = { app: name }, locality = {}, bothFamilies = false, metadata = {} } = options;
    pods.push(`${name}-${namespace}`);
    const network = await podNetwork(`${name}-${namespace}`, pods.length);
    const workload: Workload = {
      name,
      namespace,
      labels,
      locality,
      addresses: bothFamilies ? [network.address, network.addressV6] : [network.address],
      metadata,
    };
    return { network, workload, dir, onChild: (child, of) => children.set(`${of} of ${name}.${namespace}`, child) };
  }
  async function appIn({ network, workload, onChild }: Pod, { nameserver = CLUSTER_DNS }: PodOptions): Promise<App> {
    const { child, ...app } = await startApp(dir, network, workload, nameserver);
    onChild(child, "program");
    return app;
  }
  async function agentIn({ network, workload, onChild }: Pod): Promise<Agent> {
    const { child, ...agent } = await startAgent(dir, network, workload);
    onChild(child, "agent");
    return agent;
  }
  const entry = async (host: string) => {
    await until(`${host} has its entry`, async () => (await get(kube, `${entriesPath()}/${host}`)) !== undefined);
    return (await get(kube, `${entriesPath()}/${host}`))?.spec as unknown as EntrySpec;
  };
  return {
    kube,
    istiod,
    replica,
    fixture: place,
    async withSidecar(name, podOptions = {}) {
      const { hasAgent = false, metadata } = podOptions;
      const made = await pod(
        name,
        hasAgent ? { ...podOptions, metadata: { DNS_CAPTURE: "true", ...metadata } } : podOptions,
      );
      const agent = hasAgent ? await agentIn(made) : undefined;
      const app = await appIn(made, hasAgent ? { nameserver: CAPTURED_DNS, ...podOptions } : podOptions);
      await redirectToSidecar(made.network, paths.redirect, ...(hasAgent ? [NODE] : []));
      const envoy = await startEnvoy(context(paths.envoy), made.network, made.workload, "sidecar", agent);
      envoys.set(`${name}.${made.workload.namespace}`, envoy);
      return { ...app, envoy };
    },
    async gateway(name, podOptions = {}) {
      const made = await pod(name, podOptions);
      await appIn(made, podOptions); // and with it the pod's resolv.conf
      const { network, workload } = made;
      const envoy = await startEnvoy(context(paths.envoy), network, workload, "router");
      envoys.set(`${name}.${workload.namespace}`, envoy);
      return { address: network.address, envoy };
    },
    withoutSidecar: async (name, podOptions = {}) => appIn(await pod(name, podOptions), podOptions),
    pod,
    agent: agentIn,
    async backends(...wanted) {
      return Promise.all(
        wanted.map(async (backend) => {
          const started = await startBackend(backend);
          t.after(() => started.stop());
          return started;
        }),
      );
    },
    apply,
    async remove(...manifests) {
      for (const manifest of manifests) await kube.request("DELETE", pathOf(manifest));
    },
    entry,
    vip: async (service) => (await entry(hostOf(service))).addresses?.[0] ?? "",
    async becomes(want, look, timeoutMs = 60_000) {
      let last: unknown;
      await until(
        `it is ${JSON.stringify(want)}`,
        async () => {
          last = await look();
          return JSON.stringify(last) === JSON.stringify(want);
        },
        timeoutMs,
      ).catch(() => assert.deepEqual(last, want));
    },
  };
}

/** Nobody else's here, and not among those that a kernel gives to connections: a free port may be taken before it is used. */
const PORTS = { dns: 5353, http: 8088 } as const;

/** On its ports, whatever its sections say; answers are soon forgotten, so that nobody has to wait for that. */
async function listening(place: Fixture, sections: MeshOptions["sections"]): Promise<Fixture> {
  const setConfig = (changed: Readonly<Record<string, unknown>>) => {
    const { dns = { zones: ["mesh.internal", "corp.example.com"] }, http } = { ...sections, ...changed } as Readonly<
      Record<"dns" | "http", object | undefined>
    >;
    return place.setConfig({
      ...changed,
      dns: { ttl: "1s", ...dns, listen: [`127.0.0.1:${PORTS.dns}`] },
      http: { ...http, listen: `127.0.0.1:${PORTS.http}` },
    });
  };
  await setConfig({});
  return { ...place, ports: PORTS, setConfig: (changed) => setConfig(changed as Readonly<Record<string, unknown>>) };
}

const plainText: Manifest = {
  apiVersion: "security.istio.io/v1",
  kind: "PeerAuthentication",
  metadata: { name: "default", namespace: "istio-system" },
  spec: { mtls: { mode: "DISABLE" } },
};

async function show(
  t: TestContext,
  replica: Replica | undefined,
  children: ReadonlyMap<string, Child>,
  envoys: ReadonlyMap<string, Envoy>,
): Promise<void> {
  if (replica !== undefined)
    t.diagnostic(`end of the output of x2istio:\n${replica.output().split("\n").slice(-15).join("\n")}`);
  for (const [name, child] of children) t.diagnostic(`end of the log of ${name}:\n${child.logTail()}`);
  for (const [name, envoy] of envoys)
    t.diagnostic(`what the sidecar of ${name} was told:\n${await envoy.summary().catch(String)}`);
}
