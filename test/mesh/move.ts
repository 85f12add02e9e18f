import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { runCli } from "../e2e/cli.ts";
import { tempDir } from "../e2e/fixture.ts";
import { type Consul, startConsul } from "../servers/consul.ts";
import type { LoadTally } from "./calls.ts";
import type { Manifest } from "./manifests.ts";
import { type Mesh, type MeshOptions, startMesh } from "./mesh.ts";
import type { App } from "./pod.ts";

/** The service that is moved, and the name that its callers have always called it by. */
export const ORDERS = { key: "dc1/default/orders", host: "orders.default.dc1.mesh.internal" } as const;
export const LEGACY = "orders.corp.example.com";
/** Its address on the VMs, and that of the pod that takes over. */
const OUTSIDE = "192.0.2.11";
export const INSIDE = "198.51.100.11";
export const PORTS = { http: 8080, tcp: 3306, grpc: 9090 } as const;
const PROTOCOLS = ["http", "tcp", "grpc"] as const;
const ISTIOD = "http://127.0.0.1:8085";
const TOKEN = "a-token-of-those-who-report";

/** A mesh with a service in Consul that nobody has asked for, and a Service that would replace it. */
export interface Move {
  readonly mesh: Mesh;
  readonly consul: Consul;
  /** Report the service as a caller that asks its registry does; the answer's status and body. */
  report(): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }>;
  /** Run `x2istio migrate`, ask istiod where it takes a step, and expect success. Its output. */
  migrate(...args: readonly string[]): Promise<string>;
  /** Run any command and expect success. Its output. */
  x2istio(...args: readonly string[]): Promise<string>;
}

/** What a mesh of a move has besides. */
export interface MoveOptions extends Pick<MeshOptions, "istiod" | "manifests"> {
  /** Further options of its registry; by default `xds: true`. */
  readonly registry?: Readonly<Record<string, unknown>>;
}

/** Start all that a service is moved in. */
export async function startMove(
  t: TestContext,
  { registry: options = { xds: true }, manifests = [], istiod = {} }: MoveOptions = {},
): Promise<Move> {
  const consul = await startConsul();
  t.after(() => consul.stop());
  const tokenFile = join(await tempDir(t), "token");
  await writeFile(tokenFile, TOKEN);
  const meta = { protocol: "http", port_tcp: String(PORTS.tcp), port_grpc: String(PORTS.grpc) };
  await consul.register({ service: "orders", id: "orders", address: OUTSIDE, port: PORTS.http, meta });
  const registry = { kind: "consul", name: "dc1", address: consul.address, demand: "reported", ...options };
  const mesh = await startMesh(t, {
    sections: {
      registries: [{ ...registry, legacyNames: ["{service}.corp.example.com"] }],
      aliases: [{ registry: "dc1", as: "{service}", in: "shop" }],
      migration: { allow: [{ registry: "dc1", by: ["shop"] }], retireAfter: "1s" },
      http: { reports: { tokenFile } },
    },
    manifests: [replacement, ...slicesAt(INSIDE), ...manifests],
    istiod,
  });
  const at = (who: string, address: string) =>
    PROTOCOLS.map((protocol) => ({ protocol, who, address, port: PORTS[protocol] }));
  await mesh.backends(...at("outside", OUTSIDE), ...at("inside", INSIDE));
  const env = { KUBECONFIG: mesh.kube.kubeconfigPath };
  const x2istio = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await runCli(["--config", mesh.fixture.config, ...args], { env });
    assert.equal(code, 0, `x2istio ${args.join(" ")}:\n${stdout}${stderr}`);
    return stdout;
  };
  return {
    mesh,
    consul,
    async report() {
      const answer = await fetch(`${mesh.replica.http}/api/reports`, {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify({ name: LEGACY, caller: "shop/web" }),
      });
      return { status: answer.status, body: (await answer.json()) as Readonly<Record<string, unknown>> };
    },
    migrate: (...args) => x2istio("migrate", ...args, "--istiod", ISTIOD),
    x2istio,
  };
}

const names = Object.entries(PORTS).map(([name, port]) => ({ name, port }));

/** A Service in the cluster, as a team would write it. */
const replacement: Manifest = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "orders-v2", namespace: "shop", annotations: { "x2istio.dev/replaces": ORDERS.key } },
  spec: { selector: { app: "orders" }, ports: names },
};

/** What its controllers would make of it: where each of its ports is answered. */
export function slicesAt(address: string, grpcAddress = address): readonly Manifest[] {
  return PROTOCOLS.map((name) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `orders-v2-${name}`,
      namespace: "shop",
      labels: { "kubernetes.io/service-name": "orders-v2" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: [name === "grpc" ? grpcAddress : address], conditions: { ready: true } }],
    ports: [{ name, port: PORTS[name], protocol: "TCP" }],
  }));
}

/** The callers: two with a sidecar that know the legacy name, one of them with DNS capture, and one without that asks istiod. */
export interface Callers {
  readonly web: App;
  readonly batch: App;
  readonly peer: App;
  /** What came of all calls since this was asked for last, by protocol. */
  take(): Promise<Readonly<Record<string, LoadTally>>>;
}

/** Start the callers; with `perSecond` calls of each protocol from then on, without an end. */
export async function startCallers(mesh: Mesh): Promise<Callers> {
  const [web, batch, peer] = await Promise.all([
    mesh.withSidecar("web"),
    mesh.withSidecar("batch", { hasAgent: true }),
    mesh.withoutSidecar("peer"),
  ]);
  const take = async () => Object.assign({}, ...(await Promise.all([web, batch, peer].map((app) => app.takeLoads()))));
  return { web, batch, peer, take };
}

/** Begin to call, so many times a second in each way. */
export async function callOnAndOn(
  { web, batch, peer }: Callers,
  perSecond: Readonly<Record<keyof typeof PORTS, number>>,
): Promise<void> {
  const load = (name: keyof typeof PORTS) => ({ name, perSecond: perSecond[name] });
  await Promise.all([
    web.load({ ...load("http"), call: { kind: "http", url: `http://${LEGACY}:${PORTS.http}` } }),
    batch.load({ ...load("tcp"), call: { kind: "tcp", host: LEGACY, port: PORTS.tcp } }),
    peer.load({ ...load("grpc"), call: { kind: "grpc", target: `xds:///${LEGACY}:${PORTS.grpc}` } }),
  ]);
}

/** Wait until every way to call answers `who`. */
export async function allAnswer(mesh: Mesh, { web, batch, peer }: Callers, who: string): Promise<void> {
  await mesh.becomes(who, () => web.http(`http://${LEGACY}:${PORTS.http}`));
  await mesh.becomes(who, () => batch.tcp(LEGACY, PORTS.tcp));
  await mesh.becomes(who, () => peer.grpc(`xds:///${LEGACY}:${PORTS.grpc}`));
}
