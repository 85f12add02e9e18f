import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type CliResult, ready, runCli, startReplica } from "./cli.ts";
import {
  admin,
  configMapsPath,
  endpointsOf,
  entries,
  entriesPath,
  get,
  type Live,
  leasePath,
  ledgerLines,
  list,
  MESH,
  routesPath,
  SHOP,
  servicesPath,
  untilEndpoints,
  vipsOf,
  wipe,
} from "./cluster.ts";
import { dnsQuery } from "./dns.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const FAR = "istio-system";
/** A ServiceEntry as another controller writes it. */
const entryOf = (name: string, host: string, address: string, rest: object = {}) => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name, labels: { manager: "Aeraki", registry: "consul" } },
  spec: {
    hosts: [host],
    location: "MESH_INTERNAL",
    resolution: "STATIC",
    ports: [{ name: "http", number: 8080, protocol: "HTTP" }],
    endpoints: [{ address }],
    ...rest,
  },
});
const versionsOf = (all: ReadonlyMap<string, Live<unknown>>) =>
  [...all.values()].map(({ metadata: { name, uid } }) => `${name} ${uid}`).sort();

suite("objects change hands", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP, FAR] });
  });
  after(() => kube?.stop());
  afterEach(() => wipe(kube, entriesPath(), entriesPath(FAR), routesPath, servicesPath(), configMapsPath));
  const env = () => ({ KUBECONFIG: kube.kubeconfigPath });
  const cli = (where: Fixture, ...args: readonly string[]) =>
    runCli(["--config", where.config, ...args], { env: env() });
  const exits = (result: CliResult, code: number) =>
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
  const orders = httpService("orders", "192.0.2.1");
  const stock = httpService("stock", "192.0.2.2");
  const names = async () => [...(await list(kube, entriesPath())).keys()].sort();

  test("x2istio adopt takes over what stands in the place of ours, and nothing else", async (t) => {
    const where = await fixture(t, [orders, stock, tcpService("orders-db", "198.51.100.1")]);
    const host = hostOf(orders);
    const VIP = "10.9.8.7";
    const theirs = await admin(kube, "POST", entriesPath(), entryOf(host, host, "192.0.2.99", { addresses: [VIP] }));
    const alias = await admin(kube, "POST", servicesPath(), {
      metadata: { name: "orders" },
      spec: { type: "ExternalName", externalName: host, ports: [{ name: "http", port: 8080 }] },
    });
    const workload = await admin(kube, "POST", servicesPath(), {
      metadata: { name: "stock" },
      spec: { selector: { app: "stock" }, ports: [{ name: "http", port: 80 }] },
    });
    exits(await cli(where, "apply"), 3);
    assert.equal(
      (await get(kube, `${entriesPath()}/${host}`))?.metadata.resourceVersion,
      theirs.metadata.resourceVersion,
    );

    const listed = await cli(where, "adopt");
    exits(listed, 1);
    assert.match(listed.stdout, /^\+ ServiceEntry\/mesh-services\/orders\S+ +becomes ours, for vms\/shop\/orders$/m);
    assert.match(
      listed.stdout,
      /^! Service\/shop\/stock +it is of type ClusterIP: its callers would be sent elsewhere$/m,
    );
    assert.match(listed.stdout, /Nothing was written\.$/m);
    assert.equal(
      (await get(kube, `${entriesPath()}/${host}`))?.metadata.resourceVersion,
      theirs.metadata.resourceVersion,
    );

    exits(await cli(where, "adopt", `serviceentry/${MESH}/${host}`, "Service/shop/orders"), 0);
    const adopted = await get(kube, `${entriesPath()}/${host}`);
    assert.deepEqual(adopted?.spec, theirs.spec, "nothing but labels and annotations was written");
    exits(await cli(where, "apply"), 3);
    const ours = (await entries(kube)).get(host);
    assert.equal(ours?.metadata.uid, theirs.metadata.uid, "it never was away");
    assert.deepEqual([endpointsOf(ours), ours?.spec.addresses], [["192.0.2.1"], [VIP]], "callers keep their VIP");
    assert.equal((await ledgerLines(kube)).get(VIP), `${host} east used`);
    assert.equal((await get(kube, `${servicesPath()}/orders`))?.metadata.uid, alias.metadata.uid);
    assert.deepEqual((await get(kube, `${servicesPath()}/stock`))?.spec, workload.spec);
    const refused = await cli(where, "adopt", "--all", "-o", "json");
    exits(refused, 1);
    const { objects } = JSON.parse(refused.stdout) as { readonly objects: readonly { readonly action: string }[] };
    assert.deepEqual(
      objects.map(({ action }) => action),
      ["refuse"],
    );
  });

  test("x2istio adopt refuses what would be a loss", async (t) => {
    const where = await fixture(t, [orders, stock]);
    const [one, two] = [hostOf(orders), hostOf(stock)];
    await admin(kube, "POST", entriesPath(), {
      ...entryOf(one, one, "192.0.2.99"),
      metadata: { name: one, labels: { "app.kubernetes.io/managed-by": "Helm" } },
    });
    await admin(
      kube,
      "POST",
      entriesPath(FAR),
      entryOf("both", two, "192.0.2.99", { hosts: [two, "more.example.org"] }),
    );
    const result = await cli(where, "adopt", "--all");
    exits(result, 1);
    assert.match(result.stdout, /Helm manages it by its label/);
    assert.match(result.stdout, /ServiceEntry\/istio-system\/both +it also has the hosts more\.example\.org/);
    const unknown = await cli(where, "adopt", "ServiceEntry/mesh-services/nothing", "orders");
    exits(unknown, 1);
    assert.match(unknown.stdout, /nothing +it conflicts with nothing$/m);
    assert.match(unknown.stdout, /^! orders +an object is named/m);
  });

  test(
    faultRow({
      target: "API server",
      fault: "entries of another controller have our names, in another namespace",
      expect: "they hand their names over and are deleted once nobody needs them: no answer is missed",
      peer: "consul2istio",
    }),
    async (t) => {
      const where = await fixture(t, [orders, stock]);
      const [legacy = ""] = orders.legacyNames ?? [];
      await admin(kube, "POST", entriesPath(FAR), entryOf(legacy, legacy, "192.0.2.1"));
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === 2);
      await until("the name is held", async () => replica.logged("held").some(({ subject }) => subject === legacy));
      assert.notEqual((await dnsQuery(replica.dns, legacy)).rcode, 0);

      const first = await cli(where, "adopt", "--all");
      exits(first, 0);
      assert.match(first.stdout, /^> ServiceEntry\/istio-system\/\S+ +hands its names over to vms\/shop\/orders$/m);
      await until("ours answers", async () => (await dnsQuery(replica.dns, legacy)).rcode === 0);
      const routes = async () => (await get(kube, `${routesPath}/${hostOf(orders)}`))?.spec.hosts as readonly string[];
      assert.ok((await routes()).includes(legacy), "the mesh routes it to ours");
      assert.equal((await list(kube, entriesPath(FAR))).size, 1, "theirs stands meanwhile");

      exits(await cli(where, "adopt", "--all"), 0);
      assert.equal((await list(kube, entriesPath(FAR))).size, 0);
      assert.equal((await dnsQuery(replica.dns, legacy)).rcode, 0);
      exits(await cli(where, "adopt"), 0);
      assert.equal(await replica.stop(), 0);
    },
  );

  test("x2istio release gives objects up and answers for them, until they are stripped or adopted again", async (t) => {
    const where = await fixture(t, [orders, stock]);
    const replica = startReplica(t, { ...where, env: env() });
    await ready(replica);
    await until("all is written", async () => (await list(kube, servicesPath())).size === 2);
    const host = hostOf(orders);
    const vip = vipsOf(await entries(kube)).get(host) ?? "";
    const released = await cli(where, "release", "vms/shop/orders");
    exits(released, 0);
    assert.match(released.stdout, /^3 objects released\.$/m);
    await until("it is left alone", async () => replica.logged("held").some(({ reason }) => reason === "yielded"));

    await admin(kube, "PATCH", `${entriesPath()}/${host}`, { spec: { endpoints: [{ address: "203.0.113.7" }] } });
    await where.setServices([httpService("orders", "192.0.2.11"), httpService("stock", "192.0.2.12")]);
    await untilEndpoints(kube, hostOf(stock), ["192.0.2.12"]);
    assert.deepEqual(endpointsOf((await entries(kube)).get(host)), ["203.0.113.7"], "what others write into it stays");
    await where.setServices([httpService("stock", "192.0.2.13")]);
    await untilEndpoints(kube, hostOf(stock), ["192.0.2.13"]);
    assert.deepEqual((await dnsQuery(replica.dns, host)).addresses, [vip], "it is answered, also when it is gone");

    await where.setServices([httpService("orders", "192.0.2.21"), httpService("stock", "192.0.2.13")]);
    exits(await cli(where, "adopt", `ServiceEntry/${MESH}/${host}`), 0);
    await untilEndpoints(kube, host, ["192.0.2.21"]);

    exits(await cli(where, "release", host, "--strip"), 0);
    const stripped = await get(kube, `${entriesPath()}/${host}`);
    assert.deepEqual([stripped?.metadata.labels, stripped?.metadata.annotations], [undefined, undefined]);
    await until("it is not answered any more", async () => (await dnsQuery(replica.dns, host)).rcode !== 0);
    await where.setServices([httpService("orders", "192.0.2.22"), httpService("stock", "192.0.2.14")]);
    await untilEndpoints(kube, hostOf(stock), ["192.0.2.14"]);
    assert.equal(
      (await get(kube, `${entriesPath()}/${host}`))?.metadata.resourceVersion,
      stripped?.metadata.resourceVersion,
    );
    const again = await cli(where, "release", "vms/shop/nobody");
    exits(again, 1);
    assert.equal(await replica.stop(), 0);
  });

  test(
    faultRow({
      target: "own process",
      fault: "its owner is renamed in the configuration",
      expect: "objects and VIPs stay, and are taken over as they are",
    }),
    async (t) => {
      const services = [orders, stock, tcpService("orders-db", "198.51.100.1")];
      const where = await fixture(t, services, { owner: "before" });
      exits(await cli(where, "apply"), 0);
      const stood = [versionsOf(await list(kube, entriesPath())), versionsOf(await list(kube, servicesPath()))];
      const vips = vipsOf(await entries(kube));
      await where.setConfig({ owner: "after" });
      exits(await cli(where, "apply"), 3);
      assert.deepEqual(vipsOf(await entries(kube)), vips, "the new owner leaves them alone");
      const dry = await cli(where, "adopt", "--owner", "before", "--dry-run");
      exits(dry, 0);
      assert.match(dry.stdout, /^7 objects would be adopted\. Nothing was written\.$/m);
      exits(await cli(where, "adopt", "--owner", "before"), 0);
      exits(await cli(where, "apply"), 0);
      assert.deepEqual(vipsOf(await entries(kube)), vips);
      assert.deepEqual(
        [versionsOf(await list(kube, entriesPath())), versionsOf(await list(kube, servicesPath()))],
        stood,
      );
      const ledger = await ledgerLines(kube);
      for (const [host, vip] of vips) assert.equal(ledger.get(vip), `${host} after used`);
    },
  );

  test(
    faultRow({
      target: "own process",
      fault: "a registry is renamed in the configuration, or the template of hosts is another",
      expect: "objects stay as they are; renamed, they keep host, VIP and alias",
      peer: "consul-k8s #280",
    }),
    async (t) => {
      const where = await fixture(t, [orders, stock]);
      exits(await cli(where, "apply"), 0);
      const stood = versionsOf(await list(kube, entriesPath()));
      const vips = vipsOf(await entries(kube));
      const hosts = { template: "{service}.{namespace}.corp.mesh.internal" };
      const registries = [{ kind: "static", name: "metal", file: "services.yaml" }];
      const aliases = [{ registry: "metal", namespace: "shop", as: "{service}", in: SHOP }];
      await where.setConfig({ hosts });
      exits(await cli(where, "apply"), 0);
      const early = await cli(where, "adopt", "--renamed", "vms=metal");
      exits(early, 1);
      assert.match(
        early.stderr,
        /^Cannot rename registry "vms" to "metal" as the configuration must have the new name/,
      );
      await where.setConfig({ hosts, registries, aliases });
      assert.match((await cli(where, "plan")).stdout, /vms/, "they are orphans");
      exits(await cli(where, "adopt", "--renamed", "vms=metal"), 0);
      exits(await cli(where, "apply"), 0);
      assert.deepEqual(versionsOf(await list(kube, entriesPath())), stood);
      assert.deepEqual(vipsOf(await entries(kube)), vips);
      await where.setServices([httpService("orders", "192.0.2.31"), stock]);
      exits(await cli(where, "apply"), 0);
      assert.deepEqual(endpointsOf((await entries(kube)).get(hostOf(orders))), ["192.0.2.31"]);
    },
  );

  test("x2istio uninstall lists, then removes what is ours and nothing else", async (t) => {
    const where = await fixture(t, [orders, stock]);
    const west = await fixture(t, [tcpService("other", "198.51.100.1")], {
      owner: "west",
      registries: [{ kind: "static", name: "metal", file: "services.yaml" }],
      aliases: [],
    });
    exits(await cli(where, "apply"), 0);
    exits(await cli(west, "apply"), 0);
    await admin(kube, "POST", entriesPath(), entryOf("theirs", "theirs.example.org", "192.0.2.99"));
    const premade = entryOf("premade", "premade.example.org", "192.0.2.99");
    await admin(kube, "POST", entriesPath(), { ...premade, metadata: { name: "premade" } });
    exits(await cli(where, "release", "vms/shop/stock"), 0);
    const vips = vipsOf(new Map([...(await entries(kube))].filter(([name]) => name === hostOf(orders))));

    const all = await names();
    const dry = await cli(where, "uninstall", "--dry-run");
    exits(dry, 0);
    assert.match(dry.stdout, /^- Service\/shop\/orders +would be deleted: of vms\/shop\/orders$/m);
    assert.match(dry.stdout, /^= Service\/shop\/stock +stays: it was released at /m);
    assert.match(dry.stdout, /^3 objects would be deleted, 3 left\. Nothing was written\.$/m);
    assert.deepEqual(await names(), all);

    const replica = startReplica(t, { ...where, env: env() });
    await ready(replica);
    await until("it leads", async () => ((await get(kube, leasePath()))?.spec.holderIdentity ?? "") !== "");
    const busy = await cli(where, "uninstall");
    exits(busy, 1);
    assert.match(busy.stderr, /^Cannot uninstall as .* is running on this target: stop it first$/m);
    assert.equal(await replica.stop(), 0);

    await where.setText("services: ["); // no registry is asked
    const done = await cli(where, "uninstall", "-o", "json");
    exits(done, 0);
    assert.deepEqual(
      await names(),
      all.filter((name) => name !== hostOf(orders)),
    );
    assert.deepEqual([...(await list(kube, servicesPath())).keys()], ["stock"]);
    assert.deepEqual([...(await list(kube, routesPath)).keys()], [hostOf(stock)]);
    assert.equal(await get(kube, leasePath()), undefined);
    const ledger = await ledgerLines(kube);
    for (const vip of vips.values()) assert.match(ledger.get(vip) ?? "", / east resting /);
    exits(await cli(west, "apply"), 0);
  });
});

test("what changes hands by hand needs a cluster", async (t) => {
  const where = await fixture(t, [tcpService("one", "198.51.100.1")], { target: { kind: "directory", path: "out" } });
  const cli = (...args: readonly string[]) => runCli(["--config", where.config, ...args]);
  for (const args of [["adopt"], ["release", "vms/data/one"]]) {
    const { code, stderr } = await cli(...args);
    assert.equal(code, 1);
    assert.match(stderr, /as target\.kind must be kubernetes: in a folder, edit the files$/m);
  }
  assert.equal((await cli("apply")).code, 0);
  const { code, stdout } = await cli("uninstall");
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^1 object deleted\. The VIP ledger stays/m);
  assert.match((await cli("plan")).stdout, /^1 to create, /m);
});
