import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { addedWrites } from "../servers/kube-writes.ts";
import { readiness, ready, runCli, startReplica } from "./cli.ts";
import {
  admin,
  configMapsPath,
  endpointsOf,
  entries,
  entriesPath,
  get,
  list,
  MESH,
  quiet,
  routesPath,
  SHOP,
  servicesPath,
  split,
  untilEndpoints,
  vipsOf,
  wipe,
} from "./cluster.ts";
import { dnsQuery, pollDns } from "./dns.ts";
import { fixture, hostOf, httpService, tcpService } from "./fixture.ts";
import { pausingProxy } from "./proxy.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const orders = httpService("orders", "192.0.2.1");
const stock = httpService("stock", "192.0.2.2");
const database = tcpService("orders-db", "198.51.100.1");
const entryPath = `${entriesPath()}/${hostOf(orders)}`;
const aliasPath = `${servicesPath()}/orders`;

/** How often its registry was read with this result. */
async function readsOf({ http }: { readonly http: string }, result: string): Promise<number> {
  const text = await (await fetch(`${http}/metrics`)).text();
  return Number(
    new RegExp(`^x2istio_registry_reads_total\\{registry="vms",result="${result}"\\} (\\d+)$`, "m").exec(text)?.[1] ??
      0,
  );
}

suite("x2istio run goes on", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
  });
  after(() => kube?.stop());
  afterEach(() => wipe(kube, entriesPath(), routesPath, servicesPath(), configMapsPath));
  const env = () => ({ KUBECONFIG: kube.kubeconfigPath });

  test(
    faultRow({
      target: "API server",
      fault: "it is down for seconds, also at our start",
      expect: "DNS answers go on; what changed meanwhile is written when it is back",
    }),
    async (t) => {
      const where = await fixture(t, [orders, stock, database]);
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === 3);
      const vips = vipsOf(await entries(kube));
      await until("all is answered", async () => {
        const answers = await Promise.all([...vips.keys()].map((host) => dnsQuery(replica.dns, host)));
        return answers.every(({ addresses }) => addresses.length === 1);
      });
      const latecomer = await fixture(t, [tcpService("late", "203.0.113.1")], {
        owner: "late",
        registries: [{ kind: "static", name: "late", file: "services.yaml" }],
        aliases: [],
      });

      const poll = pollDns(replica.dns, vips);
      let second: ReturnType<typeof startReplica> | undefined;
      await kube.restart(async () => {
        await where.setServices([httpService("orders", "192.0.2.11"), stock, database]);
        second = startReplica(t, { ...latecomer, env: env() });
        const one = second;
        await until("it answers", async () => (await readiness(one)) !== undefined);
        assert.deepEqual(await readiness(one), { ready: false, reasons: ["the target has not been read yet"] });
        const before = poll.good;
        await until("questions are answered meanwhile", async () => poll.good > before + 20);
        assert.equal((await readiness(replica))?.ready, true, "what is known goes on being served");
      });
      const tookMs = await untilEndpoints(kube, hostOf(orders), ["192.0.2.11"], 60_000);
      await poll.stop();
      assert.deepEqual(poll.bad.slice(0, 5), []);
      assert.ok(second !== undefined);
      await ready(second, 60_000);
      t.diagnostic(`written ${tookMs} ms after the API server was back; ${poll.good} good answers meanwhile`);
      assert.deepEqual((await dnsQuery(second.dns, "late.data.late.mesh.internal")).rcode, 0);
      assert.equal(await second.stop(), 0);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "a namespace is missing or about to go",
      expect: "its aliases are held, all else is written",
    }),
    async (t) => {
      const where = await fixture(t, [orders, stock], {
        aliases: [{ registry: "vms", namespace: "shop", as: "{service}", in: "later" }],
      });
      const held = await runCli(["--config", where.config, "apply", "-o", "json"], { env: env() });
      assert.equal(held.code, 3, held.stderr);
      const { holds } = JSON.parse(held.stdout) as { readonly holds: readonly { readonly reason: string }[] };
      assert.deepEqual(new Set(holds.map(({ reason }) => reason)), new Set(["namespace"]));
      assert.equal((await entries(kube)).size, 2, "only the aliases are held");

      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await admin(kube, "POST", "/api/v1/namespaces", { metadata: { name: "later" } });
      await until("the aliases are there", async () => (await list(kube, servicesPath("later"))).size === 2);

      // Without a controller manager it never goes; what is in it is left alone.
      await admin(kube, "DELETE", "/api/v1/namespaces/later");
      await where.setServices([httpService("orders", "192.0.2.11"), stock, httpService("cart", "192.0.2.3")]);
      await untilEndpoints(kube, hostOf(orders), ["192.0.2.11"]);
      await until("the new entry is there", async () => (await entries(kube)).size === 3);
      await until("its alias is held", async () =>
        replica.logged("held").some(({ reason, service }) => reason === "namespace" && service === "vms/shop/cart"),
      );
      assert.deepEqual([...(await list(kube, servicesPath("later"))).keys()].sort(), ["orders", "stock"]);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the namespace of our own objects is about to go",
      expect: "existing objects are changed, new ones are refused and reported, and nothing points to them",
    }),
    async (t) => {
      const namespace = "leaving";
      await admin(kube, "POST", "/api/v1/namespaces", { metadata: { name: namespace } });
      t.after(() => wipe(kube, entriesPath(namespace), routesPath.replace(MESH, namespace)));
      const where = await fixture(t, [orders], { target: { kind: "kubernetes", namespace } });
      const apply = () => runCli(["--config", where.config, "apply"], { env: env() });
      assert.equal((await apply()).code, 0);
      await admin(kube, "DELETE", `/api/v1/namespaces/${namespace}`);
      await where.setServices([httpService("orders", "192.0.2.11"), stock]);
      const refused = await apply();
      assert.equal(refused.code, 1, refused.stdout);
      assert.match(refused.stdout, /Cannot create ServiceEntry leaving\/stock.*: 403 Forbidden: .*being terminated/);
      assert.deepEqual(endpointsOf((await entries(kube, namespace)).get(hostOf(orders))), ["192.0.2.11"]);
      assert.deepEqual([...(await list(kube, servicesPath())).keys()], ["orders"]);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the definition of ServiceEntry, and all of them with it, is deleted and comes back",
      expect: "the process goes on, and every service gets its entry and VIP again",
    }),
    async (t) => {
      const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
      const path = `${definition}/serviceentries.networking.istio.io`;
      const where = await fixture(t, [orders, stock]);
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await list(kube, servicesPath())).size === 2);
      const vips = vipsOf(await entries(kube));
      const { metadata, spec } = (await get(kube, path)) ?? assert.fail();
      await admin(kube, "DELETE", path);
      await until("it is gone", async () => (await get(kube, path)) === undefined);
      await until("it says so", async () => replica.logged("an object could not be written").length > 0);
      assert.equal(replica.isRunning(), true);
      const { name, labels, annotations } = metadata;
      await admin(kube, "POST", definition, { metadata: { name, labels, annotations }, spec });
      await until(
        "all is back",
        async () => (await kube.request("GET", entriesPath())).status === 200 && (await entries(kube)).size === 2,
        60_000,
      );
      assert.deepEqual(vipsOf(await entries(kube)), vips);
      for (const [host, vip] of vips)
        await until("it is answered", async () => (await dnsQuery(replica.dns, host)).addresses.join() === vip, 60_000);
      await where.setServices([httpService("orders", "192.0.2.11"), stock]);
      await untilEndpoints(kube, hostOf(orders), ["192.0.2.11"]);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "own process",
      fault: "the clock of the machine jumps a day forward, and back",
      expect: "it goes on leading, reading and writing; no tombstone ends early and no address is given away",
    }),
    async (t) => {
      const where = await fixture(t, [orders, stock], {
        registries: [{ kind: "static", name: "vms", file: "services.yaml", poll: "* * * * * *" }],
      });
      const jump = new URL("clock-jump.ts", import.meta.url);
      const replica = startReplica(t, { ...where, env: { ...env(), NODE_OPTIONS: `--import=${jump.href}` } });
      await ready(replica);
      await until("all is written", async () => (await list(kube, servicesPath())).size === 2);
      const vips = vipsOf(await entries(kube));
      await where.setServices([orders]);
      await untilEndpoints(kube, hostOf(stock), []);
      for (const [at, which] of ["forward", "back"].entries()) {
        replica.signal("SIGUSR2");
        await until(`the clock is set ${which}`, async () => replica.output().includes(`the clock is set ${which}`));
        const before = await readsOf(replica, "ok");
        await where.setServices([httpService("orders", `192.0.2.${at + 11}`)]);
        await untilEndpoints(kube, hostOf(orders), [`192.0.2.${at + 11}`]);
        await until("it reads on", async () => (await readsOf(replica, "ok")) > before + 2);
        assert.deepEqual(vipsOf(await entries(kube)), vips, "the tombstone stands");
        assert.deepEqual((await dnsQuery(replica.dns, hostOf(stock))).addresses, [vips.get(hostOf(stock))]);
      }
      assert.equal(replica.logged("leadership changed").length, 1, "won once and never lost");
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "watches break off, or are refused with 410 Gone",
      expect: "they are listed again; an edit by others is found and put back",
    }),
    async (t) => {
      const proxy = await pausingProxy(t, kube);
      const where = await fixture(t, [orders, stock]);
      const replica = startReplica(t, { ...where, env: { KUBECONFIG: await proxy.kubeconfigFor(kube.adminToken) } });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === 2);
      const touch = async (address: string) => {
        await admin(kube, "PATCH", entryPath, { spec: { endpoints: [{ address }] } });
        return untilEndpoints(kube, hostOf(orders), ["192.0.2.1"], 60_000);
      };
      t.diagnostic(`an edit was put back after ${await touch("203.0.113.1")} ms`);
      proxy.endWatches();
      t.diagnostic(`after broken watches: ${await touch("203.0.113.2")} ms`);

      const refused = new Set<string>();
      proxy.before = (request) => {
        const [, plural] = /^GET \S*\/(\w+)\?.*watch=1/.exec(request) ?? [];
        if (plural === undefined || refused.has(plural)) return undefined;
        refused.add(plural);
        return { status: 410 };
      };
      proxy.endWatches();
      t.diagnostic(`after 410: ${await touch("203.0.113.3")} ms`);
      assert.ok(refused.has("serviceentries"), [...refused].join());
      assert.equal(await replica.stop(), 0);
    },
  );

  test("without a registry, and puts back or leaves alone what others did to its objects", async (t) => {
    const where = await fixture(t, [orders, stock, database]);
    const replica = startReplica(t, { ...where, env: env() });
    await ready(replica);
    await until("all is written", async () => (await entries(kube)).size === 3);
    await until("the aliases are there", async () => (await list(kube, servicesPath())).size === 2);
    await quiet(kube);

    const before = await kube.writeCount();
    await rm(join(where.dir, "services.yaml"));
    await until(
      "it says so",
      async () => replica.logged("the registry cannot be read; its objects stay as they are").length > 0,
    );
    const failed = await readsOf(replica, "failed");
    await until("it has tried again", async () => (await readsOf(replica, "failed")) > failed + 1);
    assert.deepEqual(split(addedWrites(before, await kube.writeCount())), { mesh: 0, other: {} });
    assert.equal((await dnsQuery(replica.dns, hostOf(orders))).addresses.length, 1);

    // What stands of a service that cannot be read is not to be put back either: nobody knows what it should be.
    await where.setServices([orders, stock, database]);
    const label = { "example.org/team": "checkout" };
    await admin(kube, "PATCH", entryPath, {
      metadata: { labels: label },
      spec: { endpoints: [{ address: "203.0.113.66" }] },
    });
    await untilEndpoints(kube, hostOf(orders), ["192.0.2.1"]);
    assert.equal((await get(kube, entryPath))?.metadata.labels?.["example.org/team"], "checkout", "theirs stays");

    await admin(kube, "DELETE", entryPath);
    await until("a deleted entry is back", async () => (await get(kube, entryPath)) !== undefined);

    await admin(kube, "PATCH", aliasPath, {
      spec: { type: "ClusterIP", externalName: null, selector: { app: "orders" } },
    });
    const taken = await get(kube, aliasPath);
    await until("it yields", async () => replica.logged("held").some(({ reason }) => reason === "yielded"));

    const freed = await admin(kube, "PATCH", `${entriesPath()}/${hostOf(database)}`, {
      metadata: { labels: { "x2istio.dev/owner": null } },
      spec: { endpoints: [{ address: "203.0.113.77" }] },
    });
    await until("it is seen as someone else's", async () =>
      replica.logged("held").some(({ service, reason }) => service === "vms/data/orders-db" && reason !== "unread"),
    );
    await where.setServices([orders, httpService("stock", "192.0.2.22"), tcpService("orders-db", "198.51.100.9")]);
    await untilEndpoints(kube, hostOf(stock), ["192.0.2.22"]);
    assert.deepEqual(await get(kube, aliasPath), taken);
    const standing = (await entries(kube)).get(hostOf(database));
    assert.equal(standing?.metadata.resourceVersion, freed.metadata.resourceVersion);
    assert.deepEqual(endpointsOf(standing), ["203.0.113.77"]);
    assert.equal(await replica.stop(), 0);
  });
});
