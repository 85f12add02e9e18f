import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
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
import { estate, hostOf, httpService, tcpService } from "./estate.ts";
import { pausingProxy } from "./proxy.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const orders = httpService("orders", "192.0.2.1");
const stock = httpService("stock", "192.0.2.2");
const database = tcpService("orders-db", "198.51.100.1");
const entryPath = `${entriesPath()}/${hostOf(orders)}`;
const aliasPath = `${servicesPath()}/orders`;

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
      const where = await estate(t, [orders, stock, database]);
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === 3);
      const vips = vipsOf(await entries(kube));
      await until("all is answered", async () => {
        const answers = await Promise.all([...vips.keys()].map((host) => dnsQuery(replica.dns, host)));
        return answers.every(({ addresses }) => addresses.length === 1);
      });
      const latecomer = await estate(t, [tcpService("late", "203.0.113.1")], {
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
        await sleep(1000);
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
      const where = await estate(t, [orders, stock], {
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
      fault: "watches break off, or are refused with 410 Gone",
      expect: "they are listed anew; an edit by others is found and put back",
    }),
    async (t) => {
      const proxy = await pausingProxy(t, kube);
      const where = await estate(t, [orders, stock]);
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
    const where = await estate(t, [orders, stock, database]);
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
    await sleep(2000);
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
      metadata: { labels: { "x2istio.io/owner": null } },
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
