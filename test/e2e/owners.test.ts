import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, afterEach, before, suite, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type CliResult, ready, runCli, startReplica } from "./cli.ts";
import {
  admin,
  configMapsPath,
  entries,
  entriesPath,
  eventsPath,
  get,
  type Live,
  ledgerLines,
  list,
  MESH,
  routesPath,
  SHOP,
  servicesPath,
  vipsOf,
  wipe,
} from "./cluster.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";
import { pausingProxy } from "./proxy.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

/** What someone made by hand. */
const handMade = (name: string) => ({
  metadata: { name, annotations: { team: "checkout" } },
  spec: { selector: { app: name }, ports: [{ name: "http", port: 80 }] },
});

suite("whose an object or an address is", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP, "west-mesh"] });
  });
  after(() => kube?.stop());
  afterEach(async () => {
    await wipe(kube, entriesPath(), entriesPath("west-mesh"), routesPath, servicesPath(), configMapsPath, eventsPath());
  });

  const cli = (where: Fixture, args: readonly string[], kubeconfig = kube.kubeconfigPath) =>
    runCli(["--config", where.config, ...args], { env: { KUBECONFIG: kubeconfig } });
  const exits = (result: CliResult, code: number) =>
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
  /** Ours: the API server's repair of cluster IPs writes Events too. */
  const events = async () => {
    const all = [...(await list(kube, eventsPath())).values()] as unknown as readonly {
      readonly metadata: { readonly name: string };
      readonly count: number;
      readonly involvedObject: { readonly name: string; readonly uid: string };
    }[];
    return all.filter(({ metadata }) => metadata.name.startsWith("x2istio-"));
  };

  test(
    faultRow({
      target: "own process",
      fault: "all local state is lost; then the ledger; then the entries",
      expect: "every host keeps its VIP",
    }),
    async (t) => {
      const services = Array.from({ length: 8 }, (_, index) => tcpService(`s${index}`, "198.51.100.1"));
      const owner = "lasting";
      const first = await fixture(t, services, { owner });
      exits(await cli(first, ["apply"]), 0);
      const vips = vipsOf(await entries(kube));
      const ledger = await ledgerLines(kube);
      assert.equal(vips.size, services.length);
      for (const [host, vip] of vips) assert.equal(ledger.get(vip), `${host} ${owner} used`);

      await rm(first.dir, { recursive: true });
      const second = await fixture(t, services, { owner });
      exits(await cli(second, ["apply"]), 0);
      assert.deepEqual(vipsOf(await entries(kube)), vips);

      await wipe(kube, configMapsPath);
      exits(await cli(second, ["apply"]), 0);
      assert.deepEqual(vipsOf(await entries(kube)), vips);
      assert.deepEqual(await ledgerLines(kube), ledger, "the ledger was rebuilt from the entries");

      await wipe(kube, entriesPath());
      exits(await cli(second, ["apply"]), 0);
      assert.deepEqual(vipsOf(await entries(kube)), vips, "the ledger alone gives the same VIPs");

      await wipe(kube, entriesPath());
      await wipe(kube, configMapsPath);
      exits(await cli(second, ["apply"]), 0);
      assert.deepEqual(vipsOf(await entries(kube)), vips, "what the hash of a host gives is the same anew");
    },
  );

  test("two installations share a cluster and a ledger, and nothing else", async (t) => {
    // Fourteen addresses for twelve hosts: most first candidates clash.
    const vips = { ranges: ["240.241.9.0/28"], ledgerNamespace: MESH };
    const installation = (owner: string, registry: string, namespace: string, names: readonly string[]) =>
      fixture(
        t,
        names.map((name) => tcpService(name, "198.51.100.1")),
        {
          owner,
          vips,
          registries: [{ kind: "static", name: registry, file: "services.yaml" }],
          aliases: [{ registry, namespace: "data", as: `{service}-${registry}`, in: SHOP }],
          target: { kind: "kubernetes", namespace },
        },
      );
    const six = (letter: string) => [1, 2, 3, 4, 5, 6].map((number) => `${letter}${number}`);
    const east = await installation("east", "vms", MESH, six("e"));
    const west = await installation("west", "metal", "west-mesh", six("w"));
    const results = await Promise.all([cli(east, ["apply"]), cli(west, ["apply"])]);
    for (const result of results) exits(result, 0);

    const all = async () => {
      return new Map([...(await entries(kube)), ...(await entries(kube, "west-mesh"))]);
    };
    assert.equal(vipsOf(await all()).size, 12);
    const snapshot = async (owner: string) => {
      const aliases = await list(kube, servicesPath());
      const versions = [...(await all()).values(), ...aliases.values()]
        .filter(({ metadata }) => metadata.labels?.["x2istio.dev/owner"] === owner)
        .map(({ metadata: { name, uid, resourceVersion } }) => [name, uid, resourceVersion]);
      return new Map(versions.map(([name, ...version]) => [name, version.join()]));
    };
    const eastBefore = await snapshot("east");
    assert.equal(eastBefore.size, 12);

    // West changes everything it has, asks for a host, an alias and more addresses than there are, and leaves.
    const { stdout } = await cli(west, ["plan", "-o", "json"]);
    assert.deepEqual((JSON.parse(stdout) as { readonly holds: readonly object[] }).holds, []);
    await west.setConfig({
      owner: "west",
      vips,
      registries: [{ kind: "static", name: "vms", file: "services.yaml" }],
      aliases: [{ registry: "vms", namespace: "data", as: "{service}-vms", in: SHOP }],
      target: { kind: "kubernetes", namespace: "west-mesh" },
    });
    await west.setServices([tcpService("e1", "203.0.113.66"), tcpService("x1", "203.0.113.66")]);
    const newcomer = await cli(west, ["apply", "-o", "json"]);
    exits(newcomer, 3);
    const { holds } = JSON.parse(newcomer.stdout) as {
      readonly holds: readonly { readonly subject: string; readonly reason: string; readonly message: string }[];
    };
    const held = holds.filter(({ reason }) => reason !== "orphan");
    t.diagnostic(JSON.stringify(held));
    const host = hostOf(tcpService("e1"));
    assert.ok(
      held.some(({ subject, message }) => `${subject} ${message}`.includes(host)),
      JSON.stringify(holds),
    );
    assert.deepEqual(await snapshot("east"), eastBefore, "nothing of east was touched");
    assert.ok(!(await entries(kube, "west-mesh")).has(host), "a host that is taken is not given out");
    vipsOf(await all());
    const pruned = await cli(west, ["prune", "--registry", "metal"]);
    exits(pruned, 0);
    assert.deepEqual(await snapshot("east"), eastBefore, "west's prune took nothing of east");
    exits(await cli(east, ["apply"]), 0);
    const ledger = await ledgerLines(kube);
    for (const [one, vip] of vipsOf(await entries(kube))) assert.equal(ledger.get(vip), `${one} east used`);
  });

  test(
    faultRow({
      target: "API server",
      fault: "a Service of the alias's name is there already",
      expect: "it is never touched; the alias is held, with one Event",
    }),
    async (t) => {
      const made = await admin(kube, "POST", servicesPath(), handMade("orders"));
      const where = await fixture(t, [httpService("orders", "192.0.2.11"), httpService("stock", "192.0.2.21")]);
      const unmoved = async () => assert.deepEqual(await get(kube, `${servicesPath()}/orders`), made);

      exits(await cli(where, ["apply"]), 3);
      await unmoved();
      const [event, ...more] = await events();
      assert.deepEqual(more, []);
      assert.deepEqual(event?.involvedObject.uid, made.metadata.uid);
      assert.ok((await entries(kube)).has(hostOf(httpService("orders"))), "only the alias is held");

      exits(await cli(where, ["apply"]), 3);
      const replica = startReplica(t, { ...where, env: { KUBECONFIG: kube.kubeconfigPath } });
      await ready(replica);
      for (const last of ["192.0.2.12", "192.0.2.13", "192.0.2.14"]) {
        await where.setServices([httpService("orders", last), httpService("stock", last)]);
        await until("a pass has been made", async () =>
          JSON.stringify((await entries(kube)).get(hostOf(httpService("stock")))).includes(last),
        );
      }
      await replica.stop();
      await unmoved();
      assert.deepEqual(await events(), [event], "the Event was written once");

      await admin(kube, "DELETE", `${servicesPath()}/orders`);
      exits(await cli(where, ["apply"]), 0);
      assert.equal((await get(kube, `${servicesPath()}/orders`))?.spec.type, "ExternalName", "a freed name is taken");
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "someone writes between our read and our write",
      expect: "theirs stays, ours is decided anew",
    }),
    async (t) => {
      const proxy = await pausingProxy(t, kube);
      const kubeconfig = await proxy.kubeconfigFor(kube.adminToken);
      const orders = httpService("orders", "192.0.2.11");
      const where = await fixture(t, [orders, httpService("stock", "192.0.2.21")]);

      const made: Promise<Live>[] = [];
      proxy.before = async (request) => {
        // Both aliases are made by POSTs to one path: they wait until there is a Service "orders".
        if (request.startsWith(`POST ${servicesPath()}?`)) {
          if (made.length === 0) made.push(admin(kube, "POST", servicesPath(), handMade("orders")));
          await made[0];
        }
        return undefined;
      };
      const raced = await cli(where, ["apply", "-o", "json"], kubeconfig);
      exits(raced, 3);
      const theirs = await made[0];
      assert.ok(theirs !== undefined, "the alias was to be created");
      const { outcomes, holds } = JSON.parse(raced.stdout) as {
        readonly outcomes: readonly { readonly object: string; readonly outcome: string }[];
        readonly holds: readonly { readonly reason: string; readonly subject: string }[];
      };
      assert.deepEqual(
        holds.map(({ reason, subject }) => `${reason} ${subject}`),
        [`foreign ${SHOP}/orders`],
      );
      assert.deepEqual(
        outcomes.filter(({ outcome }) => outcome !== "written"),
        [],
      );
      assert.deepEqual(await get(kube, `${servicesPath()}/orders`), theirs);
      exits(await cli(where, ["apply"], kubeconfig), 3);
      assert.deepEqual(await get(kube, `${servicesPath()}/orders`), theirs);
      assert.deepEqual(
        (await events()).map(({ involvedObject }) => involvedObject.uid),
        [theirs.metadata.uid],
      );

      // The same with a write to an object of ours: somebody takes the alias over while our PATCH is on its way.
      let taken: Live | undefined;
      proxy.before = async (request) => {
        if (taken === undefined && request.startsWith(`PATCH ${servicesPath()}/stock?`))
          taken = await admin(kube, "PATCH", `${servicesPath()}/stock`, {
            spec: { type: "ClusterIP", externalName: null, selector: { app: "stock" } },
          });
        return undefined;
      };
      await where.setServices([
        orders,
        { ...httpService("stock", "192.0.2.21"), ports: [{ name: "http", number: 8081, protocol: "http" }] },
      ]);
      exits(await cli(where, ["apply"], kubeconfig), 3);
      assert.ok(taken !== undefined, "the alias was to be changed");
      assert.deepEqual(await get(kube, `${servicesPath()}/stock`), taken);
      const after = await cli(where, ["apply"], kubeconfig);
      exits(after, 3);
      assert.match(after.stdout, /stock\S* +Service shop\/stock is left alone: someone changed its type/);
      assert.deepEqual(await get(kube, `${servicesPath()}/stock`), taken);
    },
  );
});
