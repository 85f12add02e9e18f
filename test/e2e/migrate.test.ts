import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type CliResult, ready, runCli, startReplica } from "./cli.ts";
import { admin, configMapsPath, entriesPath, get, MESH, routesPath, SHOP, servicesPath, wipe } from "./cluster.ts";
import { type Fixture, fixture, hostOf, httpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const orders = httpService("orders", "192.0.2.1");
const stock = httpService("stock", "192.0.2.2");
const migration = { allow: [{ registry: "vms", namespace: "shop", by: [SHOP] }] };
const slicesPath = `/apis/discovery.k8s.io/v1/namespaces/${SHOP}/endpointslices`;

/** A Service that would take over, with so many ready endpoints. */
async function claimant(kube: Kube, name: string, { replaces = "", ready = 1, port = 8080 } = {}): Promise<void> {
  await admin(kube, "POST", servicesPath(), {
    metadata: { name, ...(replaces === "" ? {} : { annotations: { "x2istio.dev/replaces": replaces } }) },
    spec: { selector: { app: name }, ports: [{ name: "http", port }] },
  });
  await admin(kube, "POST", slicesPath, {
    metadata: { name: `${name}-1`, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints: Array.from({ length: ready }, (_, at) => ({
      addresses: [`198.51.100.${at + 1}`],
      conditions: { ready: true },
    })),
    ports: [{ name: "http", port }],
  });
}

suite("x2istio migrate", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
  });
  after(() => kube?.stop());
  afterEach(() => wipe(kube, entriesPath(), routesPath, servicesPath(), slicesPath, configMapsPath));
  const env = () => ({ KUBECONFIG: kube.kubeconfigPath });
  const cli = (where: Fixture, ...args: readonly string[]) =>
    runCli(["--config", where.config, "migrate", ...args], { env: env() });
  const exits = (result: CliResult, code: number) =>
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
  const service = (name: string) => get(kube, `${servicesPath()}/${name}`);
  const versions = async () =>
    Promise.all(
      [`${entriesPath()}/${hostOf(orders)}`, `${routesPath}/${hostOf(orders)}`, `${servicesPath()}/orders-v2`].map(
        async (path) => (await get(kube, path))?.metadata.resourceVersion,
      ),
    );

  test("walks a service inside and back, each step until it is effective", async (t) => {
    const where = await fixture(t, [orders, stock], { migration });
    const replica = startReplica(t, { ...where, env: env() });
    await ready(replica);
    await claimant(kube, "orders-v2", { replaces: "vms/shop/orders" });
    await until("both stand", async () => (await get(kube, `${entriesPath()}/${hostOf(stock)}`)) !== undefined);

    const status = await cli(where, "status");
    exits(status, 0);
    assert.match(status.stdout, /^vms\/shop\/orders +0 +outside +shop\/orders-v2$/m);
    assert.match(status.stdout, /^vms\/shop\/stock +0 +outside +nobody$/m);
    exits(await cli(where, "check", "orders.corp.example.com"), 0);
    const plan = await cli(where, "plan");
    assert.match(
      plan.stdout,
      /^1\. +vms\/shop\/orders +outside +0 callers +ready +x2istio migrate split vms\/shop\/orders --weight 10$/m,
    );

    const before = await versions();
    const dry = await cli(where, "split", "orders", "--weight", "10", "--dry-run");
    exits(dry, 0);
    assert.match(dry.stdout, /^vms\/shop\/orders: outside → split 10 %, by shop\/orders-v2$/m);
    assert.match(dry.stdout, /stage outside → split 10 %$/m);
    assert.match(
      dry.stdout,
      /90 % to orders\.shop\.vms\.mesh\.internal, 10 % to orders-v2\.shop\.svc\.cluster\.local$/m,
    );
    assert.deepEqual(await versions(), before);

    const split = await cli(where, "split", "orders", "--weight", "10");
    exits(split, 0);
    assert.match(split.stdout, /^vms\/shop\/orders is split 10 % now\.$/m);
    const moved = await cli(where, "move", "shop/orders-v2", "-o", "json");
    exits(moved, 0);
    const { from, to, effective, passes } = JSON.parse(moved.stdout);
    assert.deepEqual(
      [from, to, effective, passes],
      [{ stage: "split", weight: 10 }, { stage: "inside", weight: 100 }, true, 2],
    );
    assert.equal((await service("orders"))?.spec.externalName, "orders-v2.shop.svc.cluster.local");
    assert.equal((await service("orders-v2"))?.metadata.annotations?.["x2istio.dev/weight"], undefined);
    exits(await cli(where, "back", "240.241.50.110"), 0);
    assert.equal((await service("orders"))?.spec.externalName, hostOf(orders));
    const early = await cli(where, "retire", "vms/shop/orders");
    exits(early, 1);
    assert.match(early.stdout, /Nothing was changed\.$/m);
    assert.equal(await replica.stop(), 0);
  });

  test("refuses a step that could not work with one sentence, and changes nothing", async (t) => {
    const where = await fixture(t, [orders, stock], { migration });
    const applied = await runCli(["--config", where.config, "apply"], { env: env() });
    exits(applied, 0);
    const nobody = await cli(where, "split", "vms/shop/orders", "--weight", "10");
    exits(nobody, 1);
    assert.match(
      nobody.stdout,
      /^vms\/shop\/orders stays outside: no Service says that it replaces vms\/shop\/orders: .*\. Nothing was changed\.$/m,
    );

    await claimant(kube, "orders-v2", { replaces: "vms/shop/orders", ready: 0 });
    const before = await versions();
    const idle = await cli(where, "move", "vms/shop/orders");
    exits(idle, 1);
    assert.match(idle.stdout, /^vms\/shop\/orders stays outside: .*ready.*\. Nothing was changed\.$/m);
    const check = await cli(where, "check", "orders");
    exits(check, 1);
    assert.match(check.stdout, /^! endpoints /m);
    assert.match(check.stdout, /^1 precondition missing\. Nothing was written\.$/m);
    await claimant(kube, "stock-v2", { replaces: "vms/shop/stock", port: 9999 });
    const ports = await cli(where, "split", "stock", "--weight", "1", "-o", "json");
    exits(ports, 1);
    assert.match(JSON.parse(ports.stdout).refused.join(), /8080/);
    assert.deepEqual(await versions(), before);
    for (const [name, want] of [
      ["nothing", /^Cannot find "nothing" as it must be /],
      ["shop", /^Cannot find "shop"/],
    ] as const) {
      const unknown = await cli(where, "check", name);
      exits(unknown, 1);
      assert.match(unknown.stderr, want);
    }
    const weight = await cli(where, "split", "orders", "--weight", "101");
    assert.match(weight.stderr, /whole number from 0 to 100/);
  });

  test("names whatever is in the way, and each time nothing changes", async (t) => {
    const where = await fixture(t, [orders], { migration });
    exits(await runCli(["--config", where.config, "apply"], { env: env() }), 0);
    await claimant(kube, "orders-v2", { replaces: "vms/shop/orders" });
    const own = `${servicesPath()}/orders-v2`;
    const route = {
      apiVersion: "networking.istio.io/v1",
      kind: "VirtualService",
      metadata: { name: "theirs" },
      spec: { hosts: [hostOf(orders)], http: [{ route: [{ destination: { host: hostOf(orders) } }] }] },
    };
    const sidecar = {
      apiVersion: "networking.istio.io/v1",
      kind: "Sidecar",
      metadata: { name: "default" },
      spec: { egress: [{ hosts: [`${MESH}/*`] }] },
    };
    const sidecars = `/apis/networking.istio.io/v1/namespaces/${SHOP}/sidecars`;
    const annotate = (annotations: object) => admin(kube, "PATCH", own, { metadata: { annotations } });
    const cases = [
      {
        kind: "second",
        put: () => claimant(kube, "orders-v3", { replaces: "vms/shop/orders" }),
        drop: () => wipe(kube, slicesPath).then(() => admin(kube, "DELETE", `${servicesPath()}/orders-v3`)),
      },
      {
        kind: "endpoints",
        put: async () => {},
        drop: () => wipe(kube, slicesPath).then(() => admin(kube, "DELETE", own)),
      },
      {
        kind: "route",
        put: async () => {
          await claimant(kube, "orders-v2", { replaces: "vms/shop/orders" });
          await admin(kube, "POST", routesPath.replace(MESH, SHOP), route);
        },
        drop: () => wipe(kube, routesPath.replace(MESH, SHOP)),
      },
      {
        kind: "sidecar",
        put: () => admin(kube, "POST", sidecars, sidecar),
        drop: () => wipe(kube, sidecars),
      },
      {
        kind: "allow",
        put: () => where.setConfig({ migration: { allow: [{ registry: "vms", by: ["other"] }] } }),
        drop: () => where.setConfig({ migration }),
      },
      {
        kind: "registry",
        put: () =>
          annotate({ "x2istio.dev/replaces": "vms/shop/orders", "x2istio.dev/weight": null }).then(() =>
            where.setText("services: ["),
          ),
        drop: () => where.setServices([orders]),
      },
    ];
    for (const { kind, put, drop } of cases) {
      await put();
      const before = await versions();
      const result = await cli(where, "split", "vms/shop/orders", "--weight", "10", "-o", "json");
      exits(result, 1);
      const { refused, written } = JSON.parse(result.stdout);
      assert.ok(
        refused.length > 0 && refused.every((why: string) => /\w+: \w+|\w+ or \w+|cannot be read/.test(why)),
        `${kind}: ${refused}`,
      );
      assert.equal(written, false);
      const check = JSON.parse((await cli(where, "check", "vms/shop/orders", "-o", "json")).stdout);
      const missing = check.preconditions.filter(({ met }: { met: boolean }) => !met);
      assert.ok(
        missing.some((one: { kind: string }) => one.kind === kind),
        `${kind}: ${JSON.stringify(missing)}`,
      );
      assert.deepEqual(await versions(), before, kind);
      await drop();
    }
  });

  test("leaves annotations alone that someone else owns, and says what to commit", async (t) => {
    const where = await fixture(t, [orders], { migration });
    exits(await runCli(["--config", where.config, "apply"], { env: env() }), 0);
    await claimant(kube, "orders-v2", { replaces: "vms/shop/orders" });
    const path = `${servicesPath()}/orders-v2`;
    const annotations = { "x2istio.dev/replaces": "vms/shop/orders", "x2istio.dev/stage": "outside" };
    const body = { apiVersion: "v1", kind: "Service", metadata: { name: "orders-v2", annotations } };
    const owned = await kube.request("PATCH", `${path}?fieldManager=argocd-controller&force=true`, body, {
      contentType: "application/apply-patch+yaml",
    });
    assert.equal(owned.status, 200);
    const before = await versions();
    const result = await cli(where, "split", "orders", "--weight", "10");
    exits(result, 1);
    assert.match(
      result.stdout,
      /argocd-controller owns the annotations of Service shop\/orders-v2: commit these lines/,
    );
    assert.match(result.stdout, /^ {4}x2istio\.dev\/stage: "split"\n {4}x2istio\.dev\/weight: "10"$/m);
    assert.deepEqual(await versions(), before);

    await admin(kube, "PATCH", path, { metadata: { annotations: { "x2istio.dev/stage": null } } });
    const late = await cli(where, "split", "orders", "--weight", "10", "--timeout", "1s");
    assert.equal(late.stderr, "");
    exits(late, 1);
    assert.match(
      late.stdout,
      /^vms\/shop\/orders is not split 10 % after 1 s: it is outside\. The request stays in place; is x2istio run running\?$/m,
    );
    exits(await runCli(["--config", where.config, "apply"], { env: env() }), 0);
    const there = await cli(where, "split", "orders", "--weight", "10", "--istiod", "http://127.0.0.1:9");
    exits(there, 0);
    assert.match(there.stdout, /^istiod could not be asked at http:\/\/127\.0\.0\.1:9: /m);
  });
});
