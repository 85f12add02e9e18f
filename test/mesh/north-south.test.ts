import assert from "node:assert/strict";
import { test } from "node:test";
import { get } from "../e2e/cluster.ts";
import { backendsOf, readExample } from "./example.ts";
import type { Manifest } from "./manifests.ts";
import { startMesh } from "./mesh.ts";
import { ownNetwork } from "./network.ts";

const skip = await ownNetwork();

const routes = (group: string, plural: string, name: string) =>
  `/apis/${group}/v1/namespaces/mesh-services/${plural}/${name}`;
const istioRoute = (name: string) => routes("networking.istio.io", "virtualservices", name);
const OURS = [
  ...["orders", "stock", "orders-db"].map(istioRoute),
  routes("gateway.networking.k8s.io", "httproutes", "orders-web"),
  routes("gateway.networking.k8s.io", "tcproutes", "orders-db-web"),
];

/** A route of the gateway's own team. */
const theirs: Manifest = {
  apiVersion: "networking.istio.io/v1",
  kind: "VirtualService",
  metadata: { name: "theirs", namespace: "mesh-services" },
  spec: {
    hosts: ["shop.example.com"],
    gateways: ["edge/public"],
    http: [
      { match: [{ uri: { prefix: "/theirs" } }], route: [{ destination: { host: "stock.shop.vms.mesh.internal" } }] },
    ],
  },
};

interface Route {
  readonly spec: { readonly rules: readonly { readonly backendRefs: readonly { readonly kind: string }[] }[] };
  readonly status?: {
    readonly parents?: readonly {
      readonly conditions: readonly { readonly type: string; readonly status: string }[];
    }[];
  };
}

test("gateways lead callers from outside to services that are exposed", { skip }, async (t) => {
  const example = await readExample("north-south");
  const mesh = await startMesh(t, { ...example, manifests: [], namespaces: ["edge"] });
  await mesh.backends(...backendsOf(...example.services));
  await mesh.apply(...example.manifests, theirs);
  const [istio, web, client] = await Promise.all([
    mesh.gateway("public", { namespace: "edge", labels: { istio: "public" } }),
    mesh.gateway("web", { namespace: "edge", labels: { istio: "web" } }),
    mesh.withoutSidecar("client", { namespace: "edge" }),
  ]);
  const { http, tcp } = client;
  const at = (gateway: { readonly address: string }, path: string, host = "shop.example.com") =>
    http(`http://${gateway.address}${path}`, { host });
  const there = async (path: string) => (await get(mesh.kube, path)) !== undefined;

  for (const [name, gateway] of [
    ["Istio's API", istio],
    ["the Gateway API", web],
  ] as const) {
    await t.test(`HTTP by host and path, by ${name}`, async () => {
      await mesh.becomes("orders/http@192.0.2.11", () => at(gateway, "/orders"));
      assert.equal(await at(gateway, "/orders/1?x=y"), "orders/http@192.0.2.11");
      assert.equal(await at(gateway, "/orders", "SHOP.example.com:80"), "orders/http@192.0.2.11");
      for (const path of ["/", "/ordersX", "/orders-old", "/other"])
        assert.match(await at(gateway, path), /^failed: 404/, path);
      assert.match(await at(gateway, "/orders", "other.example.com"), /^failed: 404/);
    });
    await t.test(`TCP, by ${name}`, async () => {
      await mesh.becomes("orders-db/mysql@192.0.2.31", () => tcp(gateway.address, 3306));
    });
  }

  await t.test("HTTP by several hosts, with a wildcard", async () => {
    for (const host of ["stock.example.com", "eu.stock.example.com"])
      await mesh.becomes("stock/http@192.0.2.21", () => at(istio, "/any/path", host));
  });

  await t.test("a path of someone else's on the same host", async () => {
    await mesh.becomes("stock/http@192.0.2.21", () => at(istio, "/theirs"));
  });

  await t.test("the gateway's controller accepts the routes", async () => {
    for (const path of OURS.slice(3)) {
      await mesh.becomes(["Accepted: True", "ResolvedRefs: True"], async () => {
        const { body } = await mesh.kube.request<Route>("GET", path);
        assert.deepEqual(
          body.spec.rules.flatMap(({ backendRefs }) => backendRefs.map(({ kind }) => kind)),
          ["Hostname"],
        );
        const { parents = [] } = body.status ?? {};
        return parents.flatMap(({ conditions }) => conditions.map(({ type, status }) => `${type}: ${status}`)).sort();
      });
    }
  });

  await t.test("a route that its gateway does not take is told of, until it does", async () => {
    const gateway = example.manifests.find(({ metadata }) => metadata.name === "web");
    assert.ok(gateway !== undefined);
    const { listeners } = gateway.spec as { readonly listeners: readonly object[] };
    const closed = listeners.map((listener) => ({ ...listener, allowedRoutes: { namespaces: { from: "Same" } } }));
    await mesh.apply({ ...gateway, spec: { ...(gateway.spec as object), listeners: closed } });
    const refused = /exposure orders-web: Gateway edge\/web does not take it: NotAllowedByListeners: .*not allowed/;
    await mesh.becomes(true, async () => refused.test(mesh.replica.output()));
    await mesh.apply(gateway);
    await mesh.becomes(true, async () =>
      /HTTPRoute\/mesh-services\/orders-web","msg":"no longer held/.test(mesh.replica.output()),
    );
    await mesh.becomes("orders/http@192.0.2.11", () => at(web, "/orders"));
  });

  await t.test("inside the mesh nothing of it is heard", async () => {
    const pod = await mesh.withSidecar("pod");
    const vip = await mesh.vip(example.services[0] ?? { name: "", ports: [], endpoints: [] });
    await mesh.becomes("orders/http@192.0.2.11", () => pod.http(`http://${vip}:8080/other`));
    assert.match(await pod.http(`http://${vip}:8080/orders`, { host: "shop.example.com" }), /^failed: 50[23]/);
  });

  await t.test("nothing is written once all stands", async () => {
    const versions = async () => {
      const found = await Promise.all(OURS.map((path) => get(mesh.kube, path)));
      return found.map((object) => object?.metadata.resourceVersion);
    };
    await mesh.istiod.settled();
    const before = await versions();
    await mesh.apply({ ...theirs, metadata: { ...theirs.metadata, annotations: { touched: "yes" } } });
    // That nothing happens is what is asked: the time only says for how long, and a slow machine makes it no stricter.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.deepEqual(await versions(), before);
  });

  await t.test("someone else's object of that name stays and holds the exposure, not the others", async () => {
    const exposures = example.sections.exposures as readonly object[];
    const held = { ...exposures[0], name: "theirs", path: "/held" };
    const rest = { ...exposures[1], name: "all", hosts: ["shop.example.com"] };
    await mesh.fixture.setConfig({ exposures: [...exposures, held, rest] });
    await mesh.becomes(true, async () => /theirs exists and is not ours/.test(mesh.replica.output()));
    await mesh.becomes("stock/http@192.0.2.21", () => at(istio, "/held"));
    assert.equal(await at(istio, "/theirs"), "stock/http@192.0.2.21");
    assert.equal(await at(istio, "/orders"), "orders/http@192.0.2.11", "a path goes before all paths");
  });

  await t.test("a path within another one's: by its length, but among VirtualServices by their age", async () => {
    const exposures = example.sections.exposures as readonly object[];
    const within = { ...exposures[1], hosts: ["shop.example.com"], path: "/orders/stock" };
    const first = { ...within, name: "within", listen: undefined };
    const second = { ...within, name: "within-web", listen: undefined, api: "gateway", gateway: "edge/web" };
    await mesh.fixture.setConfig({ exposures: [...exposures, first, second] });
    await mesh.becomes("stock/http@192.0.2.21", () => at(web, "/orders/stock"));
    assert.equal(await at(web, "/orders/other"), "orders/http@192.0.2.11");
    await mesh.becomes(true, () => there(istioRoute("within")));
    await mesh.istiod.settled();
    assert.equal(await at(istio, "/orders/stock"), "orders/http@192.0.2.11");
  });

  await t.test("what is no longer exposed is closed, and nobody else's", async () => {
    await mesh.fixture.setConfig({ exposures: [] });
    for (const path of OURS) await mesh.becomes(false, () => there(path));
    for (const gateway of [istio, web]) {
      await mesh.becomes(true, async () => (await at(gateway, "/orders")).startsWith("failed: "));
      await mesh.becomes(true, async () => (await tcp(gateway.address, 3306)).startsWith("failed: "));
    }
    assert.equal(await at(istio, "/theirs"), "stock/http@192.0.2.21");
    assert.equal(await there(istioRoute("theirs")), true);
  });
});
