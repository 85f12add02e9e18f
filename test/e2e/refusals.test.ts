import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, type TestContext, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { operators } from "./audit.ts";
import { type CliResult, type Replica, readiness, ready, runCli, startReplica } from "./cli.ts";
import {
  admin,
  configMapsPath,
  endpointsOf,
  entries,
  entriesPath,
  eventsPath,
  get,
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
import { dnsQuery, pollDns } from "./dns.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";
import { pausingProxy } from "./proxy.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const ADMISSION = "/apis/admissionregistration.k8s.io/v1";
const [orders, stock] = [httpService("orders", "192.0.2.1"), httpService("stock", "192.0.2.2")];
const ENTRIES = [{ apiGroups: ["networking.istio.io"], apiVersions: ["*"], resources: ["serviceentries"] }];
const WRITES = ENTRIES.map((rule) => ({ ...rule, operations: ["CREATE", "UPDATE"] }));

interface Outcomes {
  readonly outcomes: readonly { readonly object: string; readonly outcome: string; readonly error?: string }[];
}

async function holdsOf({ http }: Replica) {
  const { holds } = (await (await fetch(`${http}/api/plan`)).json()) as {
    readonly holds: readonly { readonly reason: string; readonly subject: string; readonly message: string }[];
  };
  return holds;
}

suite("the API server refuses", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
  });
  after(() => kube?.stop());
  const clean = (t: TestContext) =>
    t.after(() => wipe(kube, entriesPath(), routesPath, servicesPath(), configMapsPath, eventsPath(MESH)));
  const env = () => ({ KUBECONFIG: kube.kubeconfigPath });
  const apply = (where: Fixture) => runCli(["--config", where.config, "apply", "-o", "json"], { env: env() });
  const exits = (result: CliResult, code: number) =>
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);
  const failedOf = ({ stdout }: CliResult) =>
    (JSON.parse(stdout) as Outcomes).outcomes.filter(({ outcome }) => outcome !== "written");
  const both = async (place: Fixture, last: number) =>
    place.setServices([httpService("orders", `192.0.2.${last}`), httpService("stock", `192.0.2.${last + 1}`)]);

  test(
    faultRow({
      target: "API server",
      fault: "a quota is used up",
      expect: "existing objects are still changed, new ones are reported, and created once there is room",
    }),
    async (t) => {
      clean(t);
      const where = await fixture(t, [orders]);
      exits(await apply(where), 0);
      const count = "count/serviceentries.networking.istio.io";
      const path = `/api/v1/namespaces/${MESH}/resourcequotas`;
      await admin(kube, "POST", path, { metadata: { name: "few" }, spec: { hard: { [count]: "1" } } });
      t.after(() => admin(kube, "DELETE", `${path}/few`));
      // No controller counts here.
      const status = { hard: { [count]: "1" }, used: { [count]: "1" } };
      await admin(kube, "PATCH", `${path}/few/status`, { status });
      await both(where, 11);
      let refused = await apply(where);
      await until("the quota is obeyed", async () => {
        if (refused.code === 1) return true;
        await admin(kube, "DELETE", `${entriesPath()}/${hostOf(stock)}`);
        refused = await apply(where);
        return false;
      });
      const [failure] = failedOf(refused);
      assert.match(failure?.error ?? "", /Cannot create ServiceEntry .*stock.*: 403 Forbidden: .*exceeded quota: few/);
      assert.deepEqual(endpointsOf((await entries(kube)).get(hostOf(orders))), ["192.0.2.11"]);
      assert.equal((await list(kube, servicesPath())).has("stock"), false, "nothing points to what could not be made");
      const more = { hard: { [count]: "9" }, used: { [count]: "1" } };
      await admin(kube, "PATCH", `${path}/few`, { spec: { hard: { [count]: "9" } } });
      await admin(kube, "PATCH", `${path}/few/status`, { status: more });
      await until("there is room", async () => (await apply(where)).code !== 1);
      assert.ok((await entries(kube)).has(hostOf(stock)));
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "an admission policy refuses one object",
      expect: "the others are written; it is tried again, and reported once",
    }),
    async (t) => {
      clean(t);
      const where = await fixture(t, [orders, stock]);
      await admin(kube, "POST", `${ADMISSION}/validatingadmissionpolicies`, {
        metadata: { name: "no-stock" },
        spec: {
          failurePolicy: "Fail",
          matchConstraints: { resourceRules: WRITES },
          validations: [{ expression: "!object.metadata.name.startsWith('stock')", message: "no stock here" }],
        },
      });
      await admin(kube, "POST", `${ADMISSION}/validatingadmissionpolicybindings`, {
        metadata: { name: "no-stock" },
        spec: { policyName: "no-stock", validationActions: ["Deny"] },
      });
      const probe = { apiVersion: "networking.istio.io/v1", kind: "ServiceEntry", metadata: { name: "stock-probe" } };
      await until("the policy is obeyed", async () => {
        const path = `${entriesPath()}?dryRun=All`;
        return (await kube.request("POST", path, { ...probe, spec: { hosts: ["probe.example.org"] } })).status === 422;
      });
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("one is written", async () => (await entries(kube)).has(hostOf(orders)));
      await both(where, 11);
      await untilEndpoints(kube, hostOf(orders), ["192.0.2.11"]);
      await until("it was tried again", async () => {
        const text = await (await fetch(`${replica.http}/metrics`)).text();
        return Number(/changes_total{kind="create",outcome="failed"} (\d+)/.exec(text)?.[1] ?? 0) >= 3;
      });
      const said = replica.logged("an object could not be written");
      assert.equal(said.length, 1, JSON.stringify(said));
      assert.match(String(said[0]?.error), /no stock here/);
      await until("it is held", async () => (await holdsOf(replica)).some(({ reason }) => reason === "refused"));
      const held = (await holdsOf(replica)).find(({ reason }) => reason === "refused");
      assert.match(`${held?.subject}: ${held?.message}`, /ServiceEntry\/.*\/stock.*: it is retried.*no stock here/);
      assert.equal((await list(kube, servicesPath())).has("stock"), false, "nothing points to it");
      for (const kind of ["validatingadmissionpolicybindings", "validatingadmissionpolicies"])
        await admin(kube, "DELETE", `${ADMISSION}/${kind}/no-stock`);
      await untilEndpoints(kube, hostOf(stock), ["192.0.2.12"], 60_000);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "an admission webhook is down, and every write fails",
      expect: "what stands stays and is answered; all is written once it is back",
    }),
    async (t) => {
      clean(t);
      const where = await fixture(t, [orders, stock]);
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === 2);
      const vips = vipsOf(await entries(kube));
      await until("all is answered", async () => {
        const answers = await Promise.all([...vips.keys()].map((host) => dnsQuery(replica.dns, host)));
        return answers.every(({ addresses }) => addresses.length === 1);
      });
      const hooks = `${ADMISSION}/validatingwebhookconfigurations`;
      await admin(kube, "POST", hooks, {
        metadata: { name: "down" },
        webhooks: [
          {
            name: "down.example.org",
            clientConfig: { url: "https://127.0.0.1:1/" },
            rules: WRITES,
            failurePolicy: "Fail",
            sideEffects: "None",
            admissionReviewVersions: ["v1"],
            timeoutSeconds: 1,
          },
        ],
      });
      await until("it is asked", async () => {
        const path = `${entriesPath()}/${hostOf(orders)}?dryRun=All`;
        return (await kube.request("PATCH", path, { metadata: { labels: { a: "b" } } })).status === 500;
      });
      const poll = pollDns(replica.dns, vips);
      t.after(() => poll.stop());
      await both(where, 11);
      await until("it says so", async () => replica.logged("an object could not be written").length > 0);
      assert.match(String(replica.logged("an object could not be written")[0]?.error), /failed calling webhook/);
      await admin(kube, "DELETE", `${hooks}/down`);
      await untilEndpoints(kube, hostOf(orders), ["192.0.2.11"], 60_000);
      await untilEndpoints(kube, hostOf(stock), ["192.0.2.12"], 60_000);
      await poll.stop();
      assert.deepEqual(poll.bad.slice(0, 5), []);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the answers to writes get lost, though they were carried out",
      expect: "each object is created once, each VIP allocated once",
    }),
    async (t) => {
      clean(t);
      const proxy = await pausingProxy(t, kube);
      const services = Array.from({ length: 6 }, (_, at) => httpService(`s${at}`, `192.0.2.${at + 1}`));
      const where = await fixture(t, services);
      const lost = new Set<string>();
      // The first answer to each kind of write to each path.
      proxy.before = (request) => {
        if (request.startsWith("GET") || /\/(?:leases|events)/.test(request) || lost.has(request)) return undefined;
        lost.add(request);
        return "lost";
      };
      const replica = startReplica(t, { ...where, env: { KUBECONFIG: await proxy.kubeconfigFor(kube.adminToken) } });
      await until("all is written", async () => (await list(kube, servicesPath())).size === services.length, 60_000);
      await until("all routes are", async () => (await list(kube, routesPath)).size === services.length, 60_000);
      await ready(replica);
      const vips = vipsOf(await entries(kube));
      assert.equal(vips.size, services.length);
      assert.ok(lost.size >= 4, [...lost].join());
      const used = [...(await ledgerLines(kube))].filter(([, line]) => line.endsWith(" used"));
      assert.equal(used.length, services.length, "no address was given out and forgotten");
      for (const [vip, line] of used) assert.equal(vips.get(line.split(" ")[0] ?? ""), vip);
      await where.setServices(services.map((one, at) => httpService(one.name, `192.0.2.${at + 101}`)));
      for (const [at, one] of services.entries()) await untilEndpoints(kube, hostOf(one), [`192.0.2.${at + 101}`]);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "the rights to write are taken away and given back",
      expect: "what stands is answered meanwhile; then all is written",
    }),
    async (t) => {
      clean(t);
      const { east } = await operators(kube, "east");
      const where = await fixture(t, [orders, stock]);
      const replica = startReplica(t, { ...where, env: { KUBECONFIG: await kube.kubeconfigFor(east.token) } });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === 2);
      const bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
      const all = await list<unknown>(kube, bindings);
      const [name = ""] = [...all].flatMap(([one, binding]) =>
        JSON.stringify(binding).includes(`"${east.user.split(":").at(-1)}"`) ? [one] : [],
      );
      const binding = await get(kube, `${bindings}/${name}`);
      assert.ok(binding !== undefined, "the operator is bound to its rights");
      await admin(kube, "DELETE", `${bindings}/${name}`);
      await both(where, 11);
      await until("it is refused", async () => /403 Forbidden/.test(replica.output()), 60_000);
      assert.equal((await readiness(replica))?.ready, true);
      assert.equal((await dnsQuery(replica.dns, hostOf(orders))).addresses.length, 1);
      const { resourceVersion: _, uid: __, ...metadata } = binding.metadata;
      await admin(kube, "POST", bindings, { ...binding, metadata });
      await untilEndpoints(kube, hostOf(orders), ["192.0.2.11"], 60_000);
      await untilEndpoints(kube, hostOf(stock), ["192.0.2.12"], 60_000);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "API server",
      fault: "someone edits or deletes our objects",
      expect: "they are put back as they were, counted, and an Event on each says so",
    }),
    async (t) => {
      clean(t);
      const where = await fixture(t, [orders, stock]);
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await list(kube, servicesPath())).size === 2);
      const vips = vipsOf(await entries(kube));
      await until("all is found equal", async () => {
        const plan = (await (await fetch(`${replica.http}/api/plan`)).json()) as { objects: { unchanged: number } };
        return plan.objects.unchanged === 6;
      });
      const edited = `${entriesPath()}/${hostOf(orders)}`;
      await admin(kube, "PATCH", edited, {
        spec: { addresses: ["203.0.113.9"], endpoints: [{ address: "203.0.113.7" }] },
      });
      await untilEndpoints(kube, hostOf(orders), ["192.0.2.1"]);
      await admin(kube, "DELETE", `${entriesPath()}/${hostOf(stock)}`);
      await until("it is back", async () => (await entries(kube)).has(hostOf(stock)));
      assert.deepEqual(vipsOf(await entries(kube)), vips);
      const drift = async () => {
        const text = await (await fetch(`${replica.http}/metrics`)).text();
        return Number(/^x2istio_target_drift_total{kind="ServiceEntry"} (\d+)$/m.exec(text)?.[1] ?? 0);
      };
      await until("both are counted", async () => (await drift()) === 2);
      await until("both are told", async () => {
        const events = [...(await list<unknown>(kube, eventsPath(MESH))).values()] as unknown as readonly {
          readonly reason: string;
          readonly message: string;
          readonly involvedObject: { readonly name: string };
        }[];
        const told = events.filter(({ reason }) => reason === "PutBack").map(({ involvedObject: { name } }) => name);
        return told.sort().join() === [hostOf(orders), hostOf(stock)].sort().join();
      });
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "static",
      fault: "most services vanish at once, and an operator releases the brake of the process that leads",
      expect: "an Event on the Lease says so once; the release is applied once",
    }),
    async (t) => {
      clean(t);
      const services = ["a", "b", "c", "d", "e"].map((name) => tcpService(name, "192.0.2.1"));
      const where = await fixture(t, services, { aliases: [] });
      const replica = startReplica(t, { ...where, env: env() });
      await ready(replica);
      await until("all is written", async () => (await entries(kube)).size === services.length);
      const brakeEvents = async () => {
        const events = [...(await list<unknown>(kube, eventsPath(MESH))).values()] as unknown as readonly {
          readonly reason: string;
          readonly message: string;
          readonly involvedObject: { readonly kind: string; readonly name: string };
        }[];
        return events.filter(({ reason }) => reason === "BrakeOn");
      };
      for (const last of [11, 12, 13]) {
        await where.setServices([tcpService("a", `192.0.2.${last}`)]);
        await untilEndpoints(kube, hostOf(tcpService("a")), [`192.0.2.${last}`]);
      }
      await until("it is told", async () => (await brakeEvents()).length > 0);
      const [event, ...more] = await brakeEvents();
      assert.deepEqual(more, []);
      assert.equal(`${event?.involvedObject.kind} ${event?.involvedObject.name}`, "Lease x2istio-east");
      assert.match(event?.message ?? "", /4 of 5 services of registry vms vanished.*--allow-deletes vms releases it$/);
      for (const name of ["b", "c", "d", "e"])
        assert.deepEqual(endpointsOf((await entries(kube)).get(hostOf(tcpService(name)))), ["192.0.2.1"]);

      const told = await runCli(["--config", where.config, "apply", "--allow-deletes", "vms"], { env: env() });
      exits(told, 0);
      for (const name of ["b", "c", "d", "e"]) await untilEndpoints(kube, hostOf(tcpService(name)), []);
      await where.setServices([]);
      await until("the brake is on again", async () => replica.logged("a brake is on").length === 2);
      assert.deepEqual(endpointsOf((await entries(kube)).get(hostOf(tcpService("a")))), ["192.0.2.13"]);
      assert.equal(await replica.stop(), 0);
    },
  );

  test(
    faultRow({
      target: "own process",
      fault: "it is killed and starts again while its registries are down",
      expect: "it answers all names from what stands, and writes nothing",
      peer: "consul-k8s #4714, consul-k8s #319, consul-k8s #280",
    }),
    async (t) => {
      clean(t);
      const where = await fixture(t, [orders, stock, tcpService("orders-db", "198.51.100.1")], {
        registries: [
          { kind: "static", name: "vms", file: "services.yaml" },
          { kind: "consul", name: "dc1", address: "http://127.0.0.1:1" },
          { kind: "polaris", name: "prod", address: "http://127.0.0.1:1" },
        ],
      });
      const first = startReplica(t, { ...where, env: env() });
      await ready(first);
      await until("all is written", async () => (await entries(kube)).size === 3);
      await until("all aliases are", async () => (await list(kube, servicesPath())).size === 2);
      const stood = JSON.stringify([[...(await entries(kube))], [...(await list(kube, servicesPath()))]]);
      const vips = vipsOf(await entries(kube));
      await first.kill();
      await rm(join(where.dir, "services.yaml"));
      const second = startReplica(t, { ...where, env: env() });
      await ready(second);
      for (const [host, vip] of vips) assert.deepEqual((await dnsQuery(second.dns, host)).addresses, [vip]);
      await until(
        "it leads",
        async () => second.logged("leadership changed").some(({ leads }) => leads === true),
        60_000,
      );
      await until("it has read in vain", async () => {
        const said = second.logged("the registry cannot be read; its objects stay as they are");
        return new Set(said.map(({ registry }) => registry)).size === 3;
      });
      assert.equal(JSON.stringify([[...(await entries(kube))], [...(await list(kube, servicesPath()))]]), stood);
      assert.equal(await second.stop(), 0);
    },
  );
});
