import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { addedWrites } from "../servers/kube-writes.ts";
import { type CliResult, ready, runCli, startReplica } from "./cli.ts";
import {
  admin,
  endpointsOf,
  entries,
  get,
  leader,
  leasePath,
  list,
  MESH,
  quiet,
  routesPath,
  SHOP,
  servicesPath,
  split,
  vipsOf,
} from "./cluster.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const orders = httpService("orders", "192.0.2.11", "192.0.2.12");
const stock = httpService("stock", "192.0.2.21");
const database = tcpService("orders-db", "198.51.100.61");

suite("x2istio apply", { skip, concurrency: false }, () => {
  let kube: Kube;
  before(async () => {
    kube = await startKube({ namespaces: [MESH, SHOP] });
    await quiet(kube);
  });
  after(() => kube?.stop());

  const cli = (where: Fixture, ...args: readonly string[]) =>
    runCli(["--config", where.config, ...args], { env: { KUBECONFIG: kube.kubeconfigPath } });
  const exits = (result: CliResult, code: number) =>
    assert.equal(result.code, code, `${result.stdout}\n${result.stderr}`);

  test("creates what is missing, then writes nothing, then one object for one endpoint", async (t) => {
    const where = await fixture(t, [orders, stock, database]);

    exits(await cli(where, "plan", "--detailed-exitcode"), 2);
    assert.equal((await entries(kube)).size, 0, "plan writes nothing");
    const first = await cli(where, "apply", "-o", "json", "--detailed-exitcode");
    exits(first, 2);
    const report = JSON.parse(first.stdout) as { readonly written: number; readonly outcomes: readonly object[] };
    assert.equal(report.written, report.outcomes.length);

    const standing = await entries(kube);
    assert.deepEqual([...standing.keys()].sort(), [orders, stock, database].map((one) => hostOf(one)).sort());
    assert.equal(vipsOf(standing).size, 3);
    assert.deepEqual(endpointsOf(standing.get(hostOf(orders))), ["192.0.2.11", "192.0.2.12"]);
    const aliases = await list<{ readonly type: string; readonly externalName: string }>(kube, servicesPath());
    assert.deepEqual([...aliases].map(([name, { spec }]) => `${name} ${spec.type} ${spec.externalName}`).sort(), [
      `orders ExternalName ${hostOf(orders)}`,
      `stock ExternalName ${hostOf(stock)}`,
    ]);
    assert.deepEqual([...(await list(kube, routesPath)).keys()].sort(), [hostOf(orders), hostOf(stock)]);
    assert.equal(await leader(kube), undefined, "the Lease was released");

    const before = await kube.writeCount();
    exits(await cli(where, "apply", "--detailed-exitcode"), 0);
    assert.deepEqual(addedWrites(before, await kube.writeCount()), {}, "a second apply sends no write at all");
    exits(await cli(where, "plan", "--detailed-exitcode"), 0);

    await where.setServices([httpService("orders", "192.0.2.11", "192.0.2.13"), stock, database]);
    exits(await cli(where, "apply"), 0);
    const added = addedWrites(before, await kube.writeCount());
    assert.deepEqual(split(added), { mesh: 1, other: {} }, `one endpoint is one write: ${JSON.stringify(added)}`);
    assert.deepEqual(endpointsOf((await entries(kube)).get(hostOf(orders))), ["192.0.2.11", "192.0.2.13"]);
    t.diagnostic(`one changed endpoint: ${JSON.stringify(added)}`);
  });

  test("exits with 3 when something is held, with 1 when a registry cannot be read", async (t) => {
    const where = await fixture(t, [orders, stock, database]);
    await cli(where, "apply");
    await admin(kube, "POST", servicesPath(), {
      metadata: { name: "cart" },
      spec: { ports: [{ port: 80 }], selector: { app: "cart" } },
    });
    await where.setServices([orders, stock, database, httpService("cart", "192.0.2.31")]);
    const held = await cli(where, "apply");
    exits(held, 3);
    assert.match(held.stdout, /cart held: /);
    exits(await cli(where, "plan"), 0);
    const json = JSON.parse((await cli(where, "plan", "-o", "json")).stdout) as {
      readonly holds: readonly { readonly reason: string }[];
    };
    assert.deepEqual(
      json.holds.map(({ reason }) => reason),
      ["foreign"],
    );

    await where.setText("services: [");
    const broken = await cli(where, "apply");
    exits(broken, 1);
    assert.match(broken.stdout, /services\.yaml:1:/);
    await rm(join(where.dir, "services.yaml"));
    const failed = await cli(where, "apply");
    exits(failed, 1);
    exits(await cli(where, "plan", "--detailed-exitcode"), 1);
    assert.match(failed.stdout, /no such file .*; its 4 services stay as they are/);
    assert.equal((await entries(kube)).size, 4, "nothing of what could not be read was taken away");

    await where.setText("services: []\n");
    const braked = await cli(where, "apply");
    exits(braked, 1);
    exits(await cli(where, "plan"), 1);
    assert.match(braked.stdout, /brake: registry vms lists no service any more, 4 stand/);

    await where.setConfig({ owner: "NOT A LABEL" });
    exits(await cli(where, "plan"), 1);
    exits(await cli(where, "apply"), 1);
  });

  test("leaves the work to a live leader, which obeys --allow-deletes once", async (t) => {
    const owner = "south";
    const south = { owner, registries: [{ kind: "static", name: owner, file: "services.yaml" }], aliases: [] };
    const services = ["a", "b", "c", "d", "e"].map((name) => tcpService(name, "198.51.100.1"));
    const where = await fixture(t, services, south);
    const replica = startReplica(t, { ...where, env: { KUBECONFIG: kube.kubeconfigPath } });
    await ready(replica);
    await until("the leader has written", async () => (await ours(owner)).length === 5);
    const name = (await leader(kube, owner)) ?? "";
    assert.ok(name.includes(String(replica.pid)), name);

    const other = await fixture(t, [...services, tcpService("f", "198.51.100.2")], south);
    const refused = await cli(other, "apply");
    exits(refused, 1);
    assert.ok(refused.stderr.includes(name), `it names ${name}: ${refused.stderr}`);
    assert.equal((await ours(owner)).length, 5);

    await where.setServices(services.slice(0, 1));
    await until("the brake is on", async () => replica.logged("held").some(({ reason }) => reason === "brake"));
    assert.equal((await ours(owner)).filter(hasEndpoints).length, 5, "nothing is emptied under the brake");
    exits(await cli(where, "apply"), 1);

    const released = await cli(where, "apply", "--allow-deletes", "south");
    exits(released, 0);
    assert.ok(released.stdout.includes(name), released.stdout);
    const toldMs = performance.now();
    await until("the leader has obeyed", async () => (await ours(owner)).filter(hasEndpoints).length === 1);
    t.diagnostic(`the leader obeyed within ${Math.round(performance.now() - toldMs)} ms`);
    assert.match(
      (await get(kube, leasePath(owner)))?.metadata.annotations?.["x2istio.dev/allow-deletes"] ?? "",
      /^south@/,
    );
    assert.equal((await ours(owner)).length, 5, "what is gone stands as a tombstone");
    assert.equal(await replica.stop(), 0);
    assert.equal(await leader(kube, owner), undefined, "the Lease was released");
  });

  const ours = async (owner: string) =>
    [...(await entries(kube)).values()].filter(({ metadata }) => metadata.labels?.["x2istio.dev/owner"] === owner);
  const hasEndpoints = (entry: Awaited<ReturnType<typeof ours>>[number]) => (endpointsOf(entry) ?? []).length > 0;
});
