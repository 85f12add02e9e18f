import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { post } from "../kube/rights.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { freePorts, type Replica, ready, runCli, startReplica } from "./cli.ts";
import { MESH, SHOP } from "./cluster.ts";
import { dnsQuery } from "./dns.ts";
import { copyExample, digests, type Example, edit, folderEndpoints } from "./embedded.ts";
import { fixture, hostOf, httpService } from "./fixture.ts";

const ORDERS = "orders.corp.example.com";

/** A configuration without registries, on ports of its own. */
async function aloneConfig(example: Example, dns: string, rest = "") {
  const ports = await freePorts();
  const config = join(example.dir, `alone-${ports.dns}.yaml`);
  const listen = `listen: ["127.0.0.1:${ports.dns}"]`;
  await writeFile(config, `dns: {${listen}, ${dns}}\nhttp: {listen: "127.0.0.1:${ports.http}"}\n${rest}`);
  return { config, ports };
}

async function startAlone(
  t: TestContext,
  example: Example,
  args: readonly string[],
  { rest = "", views = "[]" } = {},
): Promise<Replica> {
  const dns = `zones: [mesh.internal, corp.example.com], views: ${views}`;
  const { config, ports } = await aloneConfig(example, dns, rest);
  const replica = startReplica(t, { config, ports, args: ["dns", "--config", config, ...args] });
  await ready(replica);
  return replica;
}

const rename = (example: Example) =>
  edit(example.services, (text) => text.replace("orders.corp.example.com]", "buy.corp.example.com]"));
const answers = async (replica: Replica, name: string) => (await dnsQuery(replica.dns, name)).addresses;

test("x2istio dns answers from a folder that another process writes, and writes nothing", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const alone = await startAlone(t, example, [], {
    rest: `owner: example\ntarget: {kind: directory, path: ${example.out}}\n`,
  });
  const before = await digests(example.out);
  assert.deepEqual(await answers(alone, ORDERS), await answers(main, ORDERS));
  assert.equal((await dnsQuery(alone.dns, "nobody.corp.example.com")).rcode, 3);
  assert.deepEqual(await digests(example.out), before);
  await rename(example);
  await until("the change is answered", async () => (await answers(alone, "buy.corp.example.com")).length === 1);
  assert.equal(await alone.stop(), 0);
});

test("x2istio dns answers from another x2istio, and goes on when that is away", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const alone = await startAlone(t, example, ["--from", main.http]);
  const vip = await answers(main, ORDERS);
  assert.equal(vip.length, 1);
  assert.deepEqual(await answers(alone, ORDERS), vip);

  await rename(example);
  await until("the change is answered", async () => (await answers(alone, "buy.corp.example.com")).length === 1);
  assert.equal((await dnsQuery(alone.dns, ORDERS)).rcode, 3, "the old name has gone");

  await main.stop();
  const away = "the names cannot be fetched; the last ones are answered";
  await until("it says so", async () => alone.logged(away).length > 0);
  assert.deepEqual(await answers(alone, "buy.corp.example.com"), vip);
  assert.equal((await fetch(`${alone.http}/readyz`)).status, 200);

  await edit(example.services, (text) => text.replace("buy.corp.example.com]", "sell.corp.example.com]"));
  const again = startReplica(t, example);
  await ready(again);
  await until("it follows again", async () => (await answers(alone, "sell.corp.example.com")).length === 1, 30_000);
  assert.deepEqual(await answers(alone, "sell.corp.example.com"), vip);
  assert.match(await (await fetch(`${alone.http}/metrics`)).text(), /^x2istio_dns_names_timestamp_seconds 1/m);

  const third = await startAlone(t, example, ["--from", alone.http]);
  assert.deepEqual(await answers(third, "sell.corp.example.com"), vip, "from one that has them from another");
});

test("x2istio dns takes names that another x2istio proves, and of those the ones in its zones", async (t) => {
  const example = await copyExample(t);
  const secret = join(example.dir, "names.secret");
  await writeFile(secret, "a secret of the test\n", { mode: 0o600 });
  await edit(example.config, (text) => text.replace("\ndns:\n", "\ndns:\n  names: {secretFile: names.secret}\n"));
  const main = startReplica(t, example);
  await ready(main);
  const [vip] = await answers(main, ORDERS);
  const { config, ports } = await aloneConfig(example, "zones: [mesh.internal], names: {secretFile: names.secret}");
  const alone = startReplica(t, { config, ports, args: ["dns", "--config", config, "--from", main.http] });
  await ready(alone);
  assert.deepEqual(await answers(alone, "orders.shop.vms.mesh.internal"), [vip]);
  assert.equal((await dnsQuery(alone.dns, ORDERS)).rcode, 5, "a name in none of its zones");
  assert.equal(
    alone.logged("names are not answered as they are in none of dns.zones and dns.names.suffixes").length,
    1,
  );
  assert.match(await (await fetch(`${alone.http}/metrics`)).text(), /^x2istio_dns_names_left_out_count [1-9]/m);

  await writeFile(secret, "another secret of it\n");
  const third = await aloneConfig(example, "names: {secretFile: old.secret}");
  await writeFile(join(example.dir, "old.secret"), "a secret of the test\n");
  const args = ["dns", "--config", third.config, "--from", main.http];
  const refusing = startReplica(t, { ...third, args });
  const away = "the names cannot be fetched; the last ones are answered";
  await until("it says so", async () => refusing.logged(away).length > 0);
  assert.equal((await fetch(`${refusing.http}/readyz`)).status, 503);
});

test("x2istio dns gives endpoints of another x2istio, directly and by way of a third", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const plain = await startAlone(t, example, ["--from", main.http]);
  const views = '[{name: vms, clients: ["127.0.0.0/8"], answer: endpoints}]';
  const far = await startAlone(t, example, ["--from", plain.http], { views });
  const near = await startAlone(t, example, ["--from", main.http], { views });
  const places = (await folderEndpoints(example.out, "orders.shop.vms.mesh.internal")).toSorted();
  assert.ok(places.length > 0 && !places.includes(""));
  for (const replica of [near, far])
    assert.deepEqual(
      (await answers(replica, ORDERS)).toSorted(),
      places.filter((one) => !one.includes(":")),
    );
  assert.match((await answers(plain, ORDERS)).join(), /^240\.241\./);
});

test("x2istio dns is not ready, and answers SERVFAIL, before it has names", async (t) => {
  const example = await copyExample(t);
  const { http } = await freePorts();
  const { config, ports } = await aloneConfig(example, "workers: 1");
  const args = ["dns", "--config", config, "--from", `http://127.0.0.1:${http}`];
  const alone = startReplica(t, { config, ports, args });
  await until("it listens", async () => (await fetch(`${alone.http}/readyz`).catch(() => undefined))?.status === 503);
  assert.equal((await dnsQuery(alone.dns, ORDERS)).rcode, 2);
  assert.equal((await fetch(`${alone.http}/api/names`)).status, 503);
});

test("/api/names has a tag, and waits for another state", async (t) => {
  const example = await copyExample(t);
  const main = startReplica(t, example);
  await ready(main);
  const url = `${main.http}/api/names`;
  const first = await fetch(url);
  const etag = first.headers.get("etag") ?? "";
  const { names } = (await first.json()) as { names: { name: string }[] };
  assert.ok(names.some(({ name }) => name === ORDERS));
  const same = await fetch(url, { headers: { "if-none-match": etag } });
  assert.deepEqual([same.status, same.headers.get("etag"), await same.text()], [304, etag, ""]);
  const waiting = fetch(`${url}?wait=20`, { headers: { "if-none-match": etag } });
  await rename(example);
  const next = await waiting;
  assert.equal(next.status, 200);
  assert.notEqual(next.headers.get("etag"), etag);
  assert.ok((await next.text()).includes("buy.corp.example.com"));
  assert.equal((await fetch(`${url}?wait=x`)).status, 400);
});

test("x2istio dns says what is wrong with --from", async (t) => {
  const example = await copyExample(t);
  const { code, stderr } = await runCli(["dns", "--config", example.config, "--from", "x2istio.example.org"]);
  assert.equal(code, 1);
  assert.match(stderr, /--from must be an HTTP address such as https:\/\/x2istio\.example\.org:8080/);
});

/** A kubeconfig that may read what x2istio reads, and write nothing. */
async function reader(kube: Kube): Promise<string> {
  const rule = (group: string, ...resources: string[]) => ({ apiGroups: [group], resources, verbs: ["list", "watch"] });
  const rules = [
    rule("networking.istio.io", "serviceentries", "virtualservices"),
    rule("gateway.networking.k8s.io", "httproutes", "tcproutes"),
    rule("", "services", "namespaces", "configmaps"),
  ];
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const token = await kube.createServiceAccountToken(MESH, "reader");
  const subjects = [{ kind: "ServiceAccount", name: "reader", namespace: MESH }];
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "reader" };
  await post(kube, `${rbac}/clusterroles`, { metadata: { name: "reader" }, rules });
  await post(kube, `${rbac}/clusterrolebindings`, { metadata: { name: "reader" }, subjects, roleRef });
  return kube.kubeconfigFor(token);
}

const skip = (await ensureServers(kubeServers)) === undefined && noServers;
test("x2istio dns answers from a cluster with rights to read, also while the API server is away", {
  skip,
}, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP] });
  t.after(() => kube.stop());
  const { setServices, ...place } = await fixture(t, [httpService("orders", "192.0.2.1")]);
  const main = startReplica(t, { ...place, env: { KUBECONFIG: kube.kubeconfigPath } });
  await ready(main);
  const alone = await fixture(t, [], { registries: [], aliases: [] });
  const args = ["dns", "--config", alone.config];
  const replica = startReplica(t, { ...alone, args, env: { KUBECONFIG: await reader(kube) } });
  await ready(replica);
  const vip = await answers(main, ORDERS);
  assert.equal(vip.length, 1);
  assert.deepEqual(await answers(replica, ORDERS), vip);
  await setServices([httpService("orders", "192.0.2.1"), httpService("stock", "192.0.2.2")]);
  await until("a new name is answered", async () => (await answers(replica, "stock.corp.example.com")).length === 1);
  await kube.restart(async () => {
    for (let n = 0; n < 5; n++) assert.deepEqual(await answers(replica, ORDERS), vip);
    assert.equal((await fetch(`${replica.http}/readyz`)).status, 200);
  });
  assert.deepEqual(await answers(replica, ORDERS), vip);
});

test("x2istio run gives endpoints to those of a view, and follows them", async (t) => {
  const { setServices, setConfig, ...place } = await fixture(t, [httpService("orders", "192.0.2.1", "192.0.2.2")], {
    target: { kind: "directory" },
    aliases: [],
  });
  const main = startReplica(t, place);
  await ready(main);
  assert.match((await answers(main, ORDERS)).join(), /^240\.241\./);
  const zones = ["mesh.internal", "corp.example.com"];
  const views = [{ name: "vms", clients: ["127.0.0.0/8"], answer: "endpoints" }];
  await setConfig({ dns: { listen: [`127.0.0.1:${place.ports.dns}`], zones, views } });
  const sorted = async () => (await answers(main, ORDERS).catch(() => [])).toSorted().join(" ");
  await until("endpoints are given", async () => (await sorted()) === "192.0.2.1 192.0.2.2");
  await setServices([httpService("orders", "192.0.2.2", "192.0.2.3")]);
  await until("they are followed", async () => (await sorted()) === "192.0.2.2 192.0.2.3");
  await until("they are counted", async () => {
    const metrics = await (await fetch(`${main.http}/metrics`)).text();
    return /^x2istio_dns_answers_total\{.*source="table",view="vms"\} [1-9]/m.test(metrics);
  });
});

test("a full range of VIPs changes no answer that was right", async (t) => {
  const standing = [httpService("orders", "192.0.2.1"), httpService("stock", "192.0.2.2")];
  const { setServices, ...place } = await fixture(t, standing, {
    target: { kind: "directory" },
    aliases: [],
    vips: { ranges: ["240.241.0.0/30"] },
  });
  const main = startReplica(t, place);
  await ready(main);
  const names = [ORDERS, "stock.corp.example.com", ...standing.map((service) => hostOf(service))];
  const right = await Promise.all(names.map((name) => answers(main, name)));
  assert.deepEqual(new Set(right.flat()), new Set(["240.241.0.1", "240.241.0.2"]));

  await setServices([...standing, httpService("pay", "192.0.2.3")]);
  await until("the new one is held", async () => {
    const plan = await (await fetch(`${main.http}/api/plan`)).text();
    return plan.includes("pay") && plan.includes("must have a free address");
  });
  assert.deepEqual(await Promise.all(names.map((name) => answers(main, name))), right);
  assert.equal((await dnsQuery(main.dns, "pay.corp.example.com")).rcode, 3);
});
