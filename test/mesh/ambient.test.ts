import assert from "node:assert/strict";
import { test } from "node:test";
import { runCli } from "../e2e/cli.ts";
import { hostOf } from "../e2e/fixture.ts";
import { readExample, serviceNamed } from "./example.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";
import { runningWaypoint, startWaypoint, startZtunnel } from "./ztunnel.ts";

const skip = await ownNetwork();

const WAYPOINT = "10.9.1.1";
/** A Service that says it replaces `orders`. */
const replacement = [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "orders-v2",
      namespace: "shop",
      annotations: { "x2istio.dev/replaces": "vms/shop/orders" },
    },
    spec: {
      ports: [
        { name: "http", port: 8080 },
        { name: "tcp-mysql", port: 3306 },
      ],
    },
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "orders-v2-1", namespace: "shop", labels: { "kubernetes.io/service-name": "orders-v2" } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: [{ addresses: ["192.0.2.12"], conditions: { ready: true } }],
  },
];

test("an ambient mesh knows VIPs, ports, endpoints and waypoints", { skip }, async (t) => {
  const example = await readExample("ambient");
  const [orders, shards] = [serviceNamed(example, "orders"), serviceNamed(example, "shards")];
  const mesh = await startMesh(t, {
    ...example,
    manifests: [...example.manifests, ...runningWaypoint(WAYPOINT).objects],
    istiod: { env: { PILOT_ENABLE_AMBIENT: "true" } },
  });
  const ztunnel = startZtunnel();
  t.after(() => ztunnel.stop());
  const [vip, shardsVip] = await Promise.all([mesh.vip(orders), mesh.vip(shards)]);
  const service = (of: typeof orders) => async () => ztunnel.service(hostOf(of));
  const endpoints = async () => ztunnel.endpoints(hostOf(orders));
  const first = { address: "192.0.2.11", ports: { 8080: 8080, 3306: 3306 }, weight: 75, locality: "eu/a" };
  const second = { address: "192.0.2.12", ports: { 8080: 18_080, 3306: 3306 }, weight: 25, locality: "eu/b" };

  await t.test("VIP, ports and the waypoint that the registry names", async () => {
    const waypoint = "mesh-services/waypoint.mesh-services.svc.cluster.local";
    await mesh.becomes({ vips: [vip], ports: [8080, 3306], waypoint }, service(orders));
    await mesh.becomes({ vips: [shardsVip], ports: [7000], waypoint }, service(shards));
  });

  await t.test("every endpoint, with its own ports, weight and zone", () => mesh.becomes([first, second], endpoints));

  await t.test("emptied and filled: the service stays", async () => {
    await mesh.fixture.setServices([{ ...orders, endpoints: [] }, shards]);
    await mesh.becomes([], endpoints);
    assert.deepEqual(ztunnel.service(hostOf(orders))?.vips, [vip]);
    await mesh.fixture.setServices([orders, shards]);
    await mesh.becomes([first, second], endpoints);
  });

  await t.test("a waypoint leads calls to what ztunnel leads through it, whatever their Host", async () => {
    const [http, tcp] = [`inbound-vip|8080|http|${hostOf(orders)}`, `inbound-vip|7000|tcp|${hostOf(shards)}`];
    const { pod, status } = runningWaypoint(WAYPOINT);
    await mesh.kube.request("PATCH", `${pod}/status`, { status });
    await mesh.istiod.settled();
    const waypoint = startWaypoint("mesh-services", "waypoint", WAYPOINT, [http, tcp]);
    t.after(() => waypoint.stop());
    await mesh.becomes(true, async () => [http, tcp].every((cluster) => waypoint.clusters().includes(cluster)));
    await mesh.becomes(["192.0.2.11:8080", "192.0.2.12:18080"], async () => waypoint.endpoints(http));
    await mesh.becomes(true, async () => waypoint.takesAnyHost(8080, http));

    // What announces a Service to clients comes first there, too, and the calls go where they went.
    await mesh.apply(...replacement);
    await mesh.fixture.setConfig({ migration: { allow: [{ registry: "vms", by: ["shop"] }] } });
    await mesh.becomes(true, async () => waypoint.says("x2istio-announced"));
    assert.ok(waypoint.takesAnyHost(8080, http));
    assert.equal(waypoint.clusters().filter((cluster) => cluster === http).length, 1);

    // It knows every endpoint on one address, of which ztunnel gets one.
    const all = ["192.0.2.21:7001", "192.0.2.21:7002", "192.0.2.21:7003"];
    await mesh.becomes(all, async () => waypoint.endpoints(tcp));
    assert.equal(ztunnel.endpoints(hostOf(shards)).length, 1);
  });

  const env = { KUBECONFIG: mesh.kube.kubeconfigPath };
  /** What x2istio doctor says is wrong. */
  const found = async () => {
    const { stdout } = await runCli(["doctor", "--config", mesh.fixture.config, "-o", "json"], { env });
    const { findings } = JSON.parse(stdout) as {
      readonly findings: readonly { readonly check: string; readonly state: string; readonly message: string }[];
    };
    return findings
      .filter(({ check, state }) => check === "ambient" && state !== "fine")
      .map(({ message }) => message)
      .join("\n");
  };

  await t.test("x2istio doctor finds that every endpoint is reached, though the callers are ambient", async () => {
    const labels = { "istio.io/dataplane-mode": "ambient" };
    await mesh.kube.request("PATCH", "/api/v1/namespaces/shop", { metadata: { labels } });
    assert.equal(await found(), "");
  });

  await t.test("waypoint: none", async () => {
    const registries = [{ kind: "static", name: "vms", file: "services.yaml", waypoint: "none" }];
    await mesh.fixture.setConfig({ registries });
    await mesh.becomes(undefined, async () => ztunnel.service(hostOf(orders))?.waypoint);
    const { stdout } = await runCli(["explain", "shards", "--config", mesh.fixture.config], { env });
    assert.match(stdout, /192\.0\.2\.21 has 3 endpoints: an ambient mesh would use one of them only/);
    assert.match(await found(), /vms\/shop\/shards has 3 on 192\.0\.2\.21/);
  });
});
