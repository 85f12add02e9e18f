import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse, stringify } from "yaml";
import { type FaultProxy, faultProxy } from "../kube/fault-proxy.ts";
import { securityRow } from "../security/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Child, startChild } from "../servers/child.ts";
import { freePort } from "../servers/free-port.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { findKubectl } from "../servers/kubectl.ts";
import {
  apply,
  type ConfigFiles,
  type Deployment,
  inNamespace,
  type Manifest,
  pick,
  readManifests,
  render,
} from "./manifests.ts";
import { allows, asked, describeRight, granted, type Right } from "./rights.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
const kubectl = { skip: await findKubectl() };
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

const MESH = "mesh-services";
const ISTIO = "/apis/networking.istio.io/v1";
const inMesh = (plural: string) => `${ISTIO}/namespaces/${MESH}/${plural}`;
const services = (namespace: string) => `/api/v1/namespaces/${namespace}/services`;
const byHand = `${ISTIO}/namespaces/shop/serviceentries/by-hand`;
const ledger = `/api/v1/namespaces/${MESH}/configmaps`;
const events = (namespace: string) => `/api/v1/namespaces/${namespace}/events`;
const leases = (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;

interface Port {
  readonly name: string;
  readonly number: number;
  readonly protocol: string;
}
const http: Port = { name: "http", number: 8080, protocol: "http" };
const grpc: Port = { name: "grpc", number: 9090, protocol: "grpc" };
const admin: Port = { name: "admin", number: 9901, protocol: "http" };

/** A service of namespace shop, with a legacy name and so with a VirtualService. */
function shopService(name: string, ports: readonly Port[] = [http]): object {
  const legacyNames = [`${name}.corp.example.com`];
  return { namespace: "shop", name, ports, endpoints: [{ address: "192.0.2.11" }], legacyNames };
}

/** As the Gateway API has it, without its schema. */
const routesOf = (kind: string) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: {
    name: `${kind.toLowerCase()}s.gateway.networking.k8s.io`,
    annotations: { "api-approved.kubernetes.io": "unapproved, a test" },
  },
  spec: {
    group: "gateway.networking.k8s.io",
    names: { kind, listKind: `${kind}List`, plural: `${kind.toLowerCase()}s`, singular: kind.toLowerCase() },
    scope: "Namespaced",
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
});
/** Exposed twice, as `edge-http` and `edge-tcp`. */
const edge = (ports?: readonly Port[]) => shopService("edge", ports);
const edgeRoutes = [
  `/apis/gateway.networking.k8s.io/v1/namespaces/${MESH}/httproutes/edge-http`,
  `/apis/gateway.networking.k8s.io/v1/namespaces/${MESH}/tcproutes/edge-tcp`,
];

suite("deploy/kustomize/base, run by its own service account", { skip }, () => {
  let kube: Kube;
  let proxy: FaultProxy;
  let token: string;
  let dir: string;
  let controller: Child;
  let manifests: readonly Manifest[];
  let ports: { readonly dns: number; readonly http: number };

  before(async () => {
    kube = await startKube({ audit: true, namespaces: ["shop", "elsewhere"] });
    const base = await readManifests("base");
    const further = await readManifests("alias-namespace");
    manifests = [...base, ...further.map((manifest) => inNamespace(manifest, "shop"))];
    for (const manifest of manifests) await apply(kube, manifest);
    for (const kind of ["HTTPRoute", "TCPRoute"]) {
      await apply(kube, routesOf(kind));
      const path = `/apis/gateway.networking.k8s.io/v1/${kind.toLowerCase()}s`;
      await until(`${kind}s are served`, async () => (await kube.request("GET", path)).status === 200);
    }
    token = await kube.createServiceAccountToken("x2istio-system", "x2istio");
    // It also notes every request, reads included, which the audit log does not have.
    proxy = await faultProxy({ ...kube, adminToken: token });
    await theirs("shop", "orders");
    await theirs(MESH, "held");

    dir = await mkdtemp(join(tmpdir(), "x2istio-deploy-"));
    const { data } = pick<ConfigFiles>(base, "ConfigMap");
    ports = { dns: await freePort(), http: await freePort() };
    await writeFile(join(dir, "x2istio.yaml"), forTest(data["x2istio.yaml"], ports));
    await writeFile(join(dir, "services.yaml"), data["services.yaml"]);
    controller = await start(proxy.kubeconfigPath);
  });
  after(async () => {
    await controller?.stop();
    await proxy?.stop();
    await kube?.stop();
    if (dir !== undefined) await rm(dir, { recursive: true });
  });

  /** A Service that somebody else made. */
  async function theirs(namespace: string, name: string): Promise<void> {
    const spec = { ports: [{ port: 80 }] };
    const { status } = await kube.request("POST", services(namespace), { metadata: { name }, spec });
    assert.equal(status, 201);
  }

  function start(kubeconfig: string): Promise<Child> {
    const config = join(dir, "x2istio.yaml");
    // startChild hands on the environment; only this suite's child looks at KUBECONFIG.
    const args = [`KUBECONFIG=${kubeconfig}`, process.execPath, main, "run", "--config", config];
    return startChild("/usr/bin/env", args, join(dir, "log"));
  }

  async function list(...shop: readonly object[]): Promise<void> {
    const next = join(dir, ".next");
    await writeFile(next, stringify({ services: shop }));
    await rename(next, join(dir, "services.yaml"));
  }

  async function has(path: string): Promise<boolean> {
    return (await kube.request("GET", path)).status === 200;
  }

  const untilThere = (path: string) => until(`${path} exists`, () => has(path));
  const untilGone = (path: string) => until(`${path} is gone`, async () => !(await has(path)));
  const hostOf = (service: string) => `${service}.shop.vms.mesh.internal`;

  async function untilItSays(path: string, text: string): Promise<void> {
    await until(`${path} says ${text}`, async () =>
      JSON.stringify((await kube.request("GET", path)).body).includes(text),
    );
  }

  test("is ready, writes what the ConfigMap lists, and answers DNS", async () => {
    await until("it is ready", async () => (await fetch(`http://127.0.0.1:${ports.http}/readyz`)).status === 200);
    await untilThere(`${inMesh("serviceentries")}/${hostOf("orders")}`);
    await untilThere(`${inMesh("serviceentries")}/sessions.data.vms.mesh.internal`);
    await untilThere(`${inMesh("virtualservices")}/${hostOf("orders")}`);
    await untilThere(`${services(MESH)}/orders`);
    assert.ok(await has(`${leases(MESH)}/x2istio-main`));
    const { body } = await kube.request<{ items: { metadata: { name: string } }[] }>("GET", ledger);
    assert.ok(body.items.some(({ metadata }) => metadata.name.startsWith("x2istio-vips-240-241-")));
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${ports.dns}`]);
    const answer = () => resolver.resolve4("orders.corp.example.com").catch(() => []);
    await until("DNS answers", async () => (await answer()).some((address) => address.startsWith("240.241.")));
  });

  test(
    securityRow({
      who: "cluster tenant",
      attack: "has a Service whose name an alias is to have",
      outcome: "it stays as it is, with an Event beside it",
    }),
    async () => {
      await untilItSays(events("shop"), "AliasHeld");
      const { body } = await kube.request<{ spec: { type: string } }>("GET", `${services("shop")}/orders`);
      assert.equal(body.spec.type, "ClusterIP");
    },
  );

  test("creates, updates and deletes in the target and in both alias namespaces", async () => {
    await list(shopService("orders"), shopService("held"), shopService("stock"));
    for (const path of [services(MESH), services("shop")]) await untilThere(`${path}/stock`);
    await untilThere(`${services("shop")}/held`);
    await untilItSays(events(MESH), "AliasHeld");
    await list(shopService("orders"), shopService("held"), shopService("stock", [http, grpc]));
    for (const path of [services(MESH), services("shop")]) await untilItSays(`${path}/stock`, "9090");
    await list(shopService("orders"), shopService("held"));
    for (const path of [services(MESH), services("shop")]) await untilGone(`${path}/stock`);
    for (const kind of ["serviceentries", "virtualservices"]) await untilGone(`${inMesh(kind)}/${hostOf("stock")}`);
  });

  test("creates, updates and deletes routes of gateways", async () => {
    await list(shopService("orders"), shopService("held"), edge());
    for (const path of edgeRoutes) await untilItSays(path, "8080");
    await list(shopService("orders"), shopService("held"), edge([admin]));
    for (const path of edgeRoutes) await untilItSays(path, "9901");
    await list(shopService("orders"), shopService("held"));
    for (const path of edgeRoutes) await untilGone(path);
    await list(shopService("orders"), shopService("held"), edge());
    for (const path of edgeRoutes) await untilThere(path);
  });

  test("fills an entry that somebody wrote by hand in an alias namespace", async () => {
    const annotations = { "aeraki.net/polarisNamespace": "shop", "aeraki.net/polarisService": "orders" };
    const { status } = await kube.request("POST", `${ISTIO}/namespaces/shop/serviceentries`, {
      ...entry,
      metadata: { name: "by-hand", annotations, labels: { registry: "vms" } },
      spec: { hosts: ["dev.orders.example.org"], location: "MESH_INTERNAL", resolution: "STATIC" },
    });
    assert.equal(status, 201);
    await untilItSays(byHand, "192.0.2.11");
  });

  test("looks again at what others changed meanwhile", async () => {
    proxy.breakWatches("silence");
    const touched = [
      ...["serviceentries", "virtualservices"].map((kind) => `${inMesh(kind)}/${hostOf("orders")}`),
      ...[`${services(MESH)}/orders`, `${services("shop")}/held`],
      byHand,
      ...edgeRoutes,
    ];
    for (const path of touched) await touch(path);
    await touchLedger();
    await list(
      shopService("orders", [http, admin]),
      shopService("held", [http, admin]),
      shopService("late"),
      edge([admin]),
    );
    await untilThere(`${inMesh("serviceentries")}/${hostOf("late")}`);
    for (const path of [`${services(MESH)}/orders`, `${services("shop")}/held`, byHand, ...edgeRoutes])
      await untilItSays(path, "9901");
  });

  async function touch(path: string): Promise<void> {
    const body = { metadata: { annotations: { "example.org/touched": "yes" } } };
    assert.equal((await kube.request("PATCH", path, body)).status, 200);
  }

  /** The next VIP may come from any block of the range. */
  async function touchLedger(): Promise<void> {
    for (let block = 0; block < 16; block++) {
      const metadata = {
        name: `x2istio-vips-240-241-${block * 16}-0`,
        labels: { "app.kubernetes.io/managed-by": "x2istio" },
      };
      const { status } = await kube.request("POST", ledger, { metadata });
      if (status === 409) await touch(`${ledger}/${metadata.name}`);
      else assert.equal(status, 201);
    }
  }

  test("gives the Lease back when it ends", async () => {
    await controller.stop();
    await untilItSays(`${leases(MESH)}/x2istio-main`, '"holderIdentity":""');
  });

  test("works without a proxy between, too", async () => {
    controller = await start(await kube.kubeconfigFor(token));
    await list(shopService("orders"), shopService("held"), shopService("late"), shopService("later"));
    await untilThere(`${inMesh("serviceentries")}/${hostOf("later")}`);
    await controller.stop();
  });

  test("runs in pods that the restricted standard lets in", async () => {
    const { template } = pick<Deployment>(manifests, "Deployment").spec;
    const pods = "/api/v1/namespaces/x2istio-system/pods?dryRun=All&fieldValidation=Strict";
    const pod = { ...template, metadata: { ...template.metadata, name: "x" } };
    const { status, body } = await kube.request("POST", pods, pod);
    assert.equal(status, 201, JSON.stringify(body));
    const { containers } = template.spec;
    const unsafe = {
      ...pod,
      spec: { ...template.spec, containers: containers.map(({ name, image }) => ({ name, image })) },
    };
    assert.equal((await kube.request("POST", pods, unsafe)).status, 403);
  });

  test("can be applied as kubectl renders it, with the example overlay", kubectl, async () => {
    for (const manifest of await render("example")) await apply(kube, manifest, { dryRun: true });
  });

  test(
    securityRow({
      who: "stolen service account",
      attack: "has rights that X2Istio does not use",
      outcome: "there are none: each right that is granted is used",
    }),
    () => {
      const requests = proxy.seen.map(asked);
      const isUsed = (right: Right) =>
        // What was granted for the cluster must be asked of the cluster, or a grant in a namespace would do.
        requests.some((request) => allows(right, request) && right.namespace === request.namespace);
      const unused = granted(manifests).filter((right) => !isUsed(right));
      assert.deepEqual(unused.map(describeRight), []);
    },
  );

  test("has asked for nothing that it was not granted", async () => {
    const rights = granted(manifests);
    const refused = proxy.seen.map(asked).filter((request) => !rights.some((right) => allows(right, request)));
    assert.deepEqual(refused.map(describeRight), []);
    assert.doesNotMatch(await readFile(join(dir, "log"), "utf8"), /(?<!"ms":)\b403\b|forbidden/i);
    const turnedAway = (await kube.auditEvents()).filter(
      ({ user, responseStatus }) => user.username.includes(":x2istio") && responseStatus?.code === 403,
    );
    assert.deepEqual(turnedAway, []);
  });

  const entry = { apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "x" } };
  const named = { metadata: { name: "x" } };
  const me = "/api/v1/namespaces/x2istio-system/serviceaccounts/x2istio/token";
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const outside: readonly (readonly [method: string, path: string, body?: object])[] = [
    ["POST", services("elsewhere"), named],
    ["POST", services("x2istio-system"), named],
    ["DELETE", `${services("default")}/kubernetes`],
    ["PATCH", `${services("shop")}/orders/status`, named],
    ["DELETE", services("shop")],
    ["POST", events("elsewhere"), named],
    ["GET", events("shop")],
    ["GET", "/api/v1/secrets"],
    ["GET", `/api/v1/namespaces/${MESH}/secrets/x`],
    ["GET", "/api/v1/namespaces/x2istio-system/secrets/x"],
    ["POST", `${ISTIO}/namespaces/elsewhere/serviceentries`, entry],
    ["POST", `${ISTIO}/namespaces/shop/serviceentries`, entry],
    ["DELETE", byHand],
    ["PUT", `${inMesh("serviceentries")}/x`, entry],
    ["DELETE", inMesh("serviceentries")],
    ["PATCH", `${inMesh("serviceentries")}/x/status`, entry],
    ["POST", inMesh("destinationrules"), named],
    ["POST", "/api/v1/namespaces/kube-system/configmaps", named],
    ["PATCH", "/api/v1/namespaces/kube-system/configmaps/coredns", named],
    ["PATCH", "/api/v1/namespaces/x2istio-system/configmaps/x2istio", named],
    ["DELETE", `${ledger}/x2istio-vips-240-241-0-0`],
    ["PATCH", `${leases(MESH)}/x2istio-other`, named],
    ["DELETE", `${leases(MESH)}/x2istio-main`],
    ["POST", leases("kube-system"), named],
    ["DELETE", "/api/v1/namespaces/elsewhere"],
    ["DELETE", `/api/v1/namespaces/${MESH}`],
    ["POST", "/api/v1/namespaces", named],
    ["POST", `/api/v1/namespaces/${MESH}/pods`, named],
    ["GET", "/api/v1/pods"],
    ["POST", me, {}],
    ["POST", `${rbac}/clusterrolebindings`, named],
    ["PATCH", `${rbac}/namespaces/${MESH}/roles/x2istio-target`, named],
  ];
  for (const [method, path, body] of outside) {
    test(
      securityRow(
        {
          who: "stolen service account",
          attack: "asks for what X2Istio never does: secrets, pods, roles, objects of other namespaces",
          outcome: "403",
        },
        `${method} ${path}`,
      ),
      async () => {
        assert.equal((await kube.request(method, path, body, { token })).status, 403);
      },
    );
  }
});

/** Loopback and free ports; what vanished goes after one second instead of an hour; and a gateway leads to a service. */
function forTest(config: string, ports: { readonly dns: number; readonly http: number }): string {
  const { aliases, dns, ...rest } = parse(config) as { aliases: object[]; dns: object };
  return stringify({
    ...rest,
    aliases: [...aliases, { registry: "vms", namespace: "shop", as: "{service}", in: "shop" }],
    migration: { allow: [{ registry: "vms", by: ["shop"] }] },
    exposures: [
      { name: "edge-http", service: "vms/shop/edge", api: "gateway", gateway: "edge/x", hosts: ["edge.example.com"] },
      { name: "edge-tcp", service: "vms/shop/edge", api: "gateway", gateway: "edge/x", listen: 3306 },
    ],
    policy: { keepEmpty: "1s" },
    dns: { ...dns, listen: [`127.0.0.1:${ports.dns}`], allow: ["127.0.0.0/8"] },
    http: { listen: `127.0.0.1:${ports.http}` },
  });
}
