import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { faultRow } from "../faults/row.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { auditedWrites, meshWrites, operators, writesWithoutLease } from "./audit.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { entries, leader, MESH, SHOP, untilEndpoints, vipsOf } from "./cluster.ts";
import { type DnsPoll, dnsQuery, pollDns } from "./dns.ts";
import { type Fixture, fixture, hostOf, httpService, tcpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

type Name = "one" | "two";
const other = (name: Name): Name => (name === "one" ? "two" : "one");

test(faultRow({
  target: "own process",
  fault: "the leader is killed (SIGKILL)",
  expect: "another writes once its Lease has run out; no answer is wrong meanwhile",
  peer: "consul-k8s #4714",
}), { skip }, async (t) => {
  const kube = await startKube({ audit: true, namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const tokens = await operators(kube, "one", "two");
  const orders = httpService("orders", "192.0.2.1");
  const steady = [httpService("stock", "192.0.2.2"), tcpService("orders-db", "198.51.100.1")];
  const shared = await fixture(t, [orders, ...steady]);
  const registries = [{ kind: "static", name: "vms", file: join(shared.dir, "services.yaml") }];
  const places: Record<Name, Fixture> = {
    one: await fixture(t, [], { registries }),
    two: await fixture(t, [], { registries }),
  };
  const start = async (name: Name) =>
    startReplica(t, { ...places[name], env: { KUBECONFIG: await kube.kubeconfigFor(tokens[name].token) } });
  const setOrders = (address: string) => shared.setServices([httpService("orders", address), ...steady]);

  const replicas: Record<Name, Replica> = { one: await start("one"), two: await start("two") };
  await Promise.all([ready(replicas.one), ready(replicas.two)]);
  await until("all entries are there", async () => (await entries(kube)).size === 3);
  const names = new Map<string, string>();
  for (const [host, vip] of vipsOf(await entries(kube))) names.set(host, vip);
  names.set("orders.corp.example.com", names.get(hostOf(orders)) ?? "");
  await Promise.all([answersAll(replicas.one, names), answersAll(replicas.two, names)]);

  /** Watch the names while `change` ends the leader; then the other has to write within the limit. */
  async function replaced(address: string, end: (leading: Replica) => Promise<unknown>): Promise<void> {
    const holder = (await leader(kube)) ?? "";
    const leading: Name = holder.includes(`-${replicas.one.pid}-`) ? "one" : "two";
    assert.ok(holder.includes(`-${replicas[leading].pid}-`), `one of the two leads: ${holder}`);
    const left = other(leading);
    const polls = pollDns(replicas[left].dns, names);
    const started = performance.now();
    await end(replicas[leading]);
    await setOrders(address);
    await untilEndpoints(kube, hostOf(orders), [address]);
    const tookMs = Math.round(performance.now() - started);
    await assertGood(t, polls);
    t.diagnostic(
      `the other replica had written ${tookMs} ms after the leader's end; ${polls.good} good answers meanwhile`,
    );
    assert.ok((await leader(kube))?.includes(`-${replicas[left].pid}-`));
    replicas[leading] = await start(leading);
    await ready(replicas[leading]);
    await answersAll(replicas[leading], names);
  }
  await replaced("192.0.2.11", (leading) => leading.kill());
  await replaced("192.0.2.12", (leading) => leading.kill());
  await replaced("192.0.2.13", async (leading) => assert.equal(await leading.stop(), 0));

  const users = new Set([tokens.one.user, tokens.two.user]);
  const writes = await auditedWrites(kube, users);
  const mesh = meshWrites(writes);
  assert.deepEqual(new Set(mesh.map(({ user }) => user)), users, "both have led and written");
  assert.deepEqual(writesWithoutLease(writes, "x2istio-east", mesh), []);
  assert.deepEqual(
    [...names].filter(([name]) => name === hostOf(orders)).map(([, vip]) => vip),
    [vipsOf(await entries(kube)).get(hostOf(orders))],
  );
});

async function answersAll(replica: Replica, names: ReadonlyMap<string, string>): Promise<void> {
  await until("all names are answered", async () => {
    const answers = await Promise.all([...names.keys()].map((name) => dnsQuery(replica.dns, name)));
    return answers.every(({ rcode }) => rcode === 0);
  });
}

async function assertGood(t: TestContext, polls: DnsPoll): Promise<void> {
  await polls.stop();
  if (polls.bad.length > 0) t.diagnostic(`${polls.bad.length} bad of ${polls.bad.length + polls.good}`);
  assert.deepEqual(polls.bad.slice(0, 5), []);
}
