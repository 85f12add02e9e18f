import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { readDemand } from "../../src/model/demand.ts";
import { apply, readManifests } from "../deploy/manifests.ts";
import { ensureServers, noServers } from "../servers/build.ts";
import { type Kube, kubeServers, startKube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { type Replica, ready, startReplica } from "./cli.ts";
import { configMapsPath, entries, get, leader, MESH, SHOP, vipsOf } from "./cluster.ts";
import { dnsQuery, pollDns } from "./dns.ts";
import { type Fixture, fixture, hostOf, httpService } from "./fixture.ts";

const skip = (await ensureServers(kubeServers)) === undefined && noServers;

const NAMES = ["orders", "stock", "cart", "pay", "mail"] as const;
const services = NAMES.map((name, at) => httpService(name, `192.0.2.${at + 1}`));
const host = (name: (typeof NAMES)[number]) => hostOf(httpService(name));
const NXDOMAIN = 3;

interface Answered {
  readonly status: number;
  readonly state?: string;
  readonly vips?: readonly string[];
  readonly nearest?: readonly string[];
}

async function report({ http }: Replica, token: string, body: object): Promise<Answered> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const answer = await fetch(`${http}/api/reports`, { method: "POST", headers, body: JSON.stringify(body) });
  return { ...((await answer.json()) as object), status: answer.status };
}

/** Ask until there is an answer; gives the address. Every answer before it must have been SERVFAIL. */
async function askUntilAnswered({ dns }: Replica, name: string): Promise<string> {
  const rcodes: number[] = [];
  let address = "";
  await until(`${name} is answered`, async () => {
    const answer = await dnsQuery(dns, name);
    rcodes.push(answer.rcode);
    address = answer.addresses[0] ?? "";
    return answer.rcode !== 2;
  });
  assert.deepEqual(
    [...new Set(rcodes)].filter((rcode) => rcode !== 2),
    [0],
    `${name}: ${rcodes.join()}`,
  );
  return address;
}

async function callersOf(kube: Kube, name: (typeof NAMES)[number]): Promise<readonly string[] | undefined> {
  const live = (await entries(kube)).get(host(name));
  return readDemand(live?.metadata.annotations?.["x2istio.dev/demand"])?.callers;
}

async function audienceToken(kube: Kube, ...audiences: readonly string[]): Promise<string> {
  await kube.createServiceAccountToken(SHOP, "web");
  const { body } = await kube.request<{ readonly status: { readonly token: string } }>(
    "POST",
    `/api/v1/namespaces/${SHOP}/serviceaccounts/web/token`,
    { spec: { audiences } },
  );
  return body.status.token;
}

test("services that run on demand: reports and questions at any replica, restarts, and silence", {
  skip,
}, async (t) => {
  const kube = await startKube({ namespaces: [MESH, SHOP, "x2istio-system"] });
  t.after(() => kube.stop());
  const own = await kube.createServiceAccountToken("x2istio-system", "x2istio");
  for (const manifest of [...(await readManifests("base")), ...(await readManifests("reported"))])
    if (/Role/.test(manifest.kind)) await apply(kube, manifest);
  const KUBECONFIG = await kube.kubeconfigFor(own);
  const registry = { kind: "static", name: "vms", file: "services.yaml", demand: "reported" };
  const sections = {
    owner: "main",
    registries: [registry],
    aliases: [],
    policy: { keepEmpty: "2s" },
  };
  const places: Fixture[] = [];
  for (let n = 0; n < 2; n++) {
    const place = await fixture(t, services, sections);
    await writeFile(join(place.dir, "token"), "shared-secret\n");
    const reports = { tokenFile: "token", tokenReview: { audiences: ["x2istio"] }, wait: "8s" };
    await place.setConfig({ http: { listen: `127.0.0.1:${place.ports.http}`, reports } });
    places.push(place);
  }
  const start = () => places.map((place) => startReplica(t, { ...place, env: { KUBECONFIG } }));

  let replicas = start();
  await Promise.all(replicas.map((replica) => ready(replica)));
  await until("someone leads", async () => (await leader(kube, "main")) !== undefined);
  const holder = (await leader(kube, "main")) ?? "";
  const leads = (replica: Replica) => holder.includes(`-${replica.pid}-`);
  const [leading, following] = [replicas.find(leads), replicas.find((one) => !leads(one))];
  assert.ok(leading !== undefined && following !== undefined);
  assert.equal((await entries(kube)).size, 0, "nobody has asked for anything");

  // A report at the replica that does not write.
  const cart = await report(following, "shared-secret", {
    registry: "vms",
    namespace: "shop",
    service: "cart",
    caller: "web-1",
  });
  if (cart.status !== 200) t.diagnostic(`the first answer was ${JSON.stringify(cart)}`);
  let again = cart;
  await until("the report is answered", async () => {
    again = await report(following, "shared-secret", { name: "cart.corp.example.com", caller: "web-1" });
    return again.status === 200;
  });
  assert.deepEqual(again.vips, [vipsOf(await entries(kube)).get(host("cart"))]);
  assert.deepEqual(await callersOf(kube, "cart"), ["web-1"]);
  await until("nothing is left to be told", async () => {
    const told = await get(kube, `${configMapsPath}/x2istio-main-demand`);
    return told?.data?.asked === "";
  });

  // By whom: what a token says counts, if it is meant for us.
  const pod = await audienceToken(kube, "x2istio");
  await until("the report of a pod is answered", async () => {
    const { status } = await report(leading, pod, { name: host("pay"), caller: "somebody-else" });
    return status === 200;
  });
  assert.deepEqual(await callersOf(kube, "pay"), [`${SHOP}/web`]);
  const other = await audienceToken(kube, "vault");
  assert.equal((await report(leading, other, { name: host("mail") })).status, 401);
  assert.equal((await report(leading, "shared-secre", { name: host("mail") })).status, 401);
  const nobody = await report(leading, pod, { registry: "vms", namespace: "shop", service: "mial" });
  assert.deepEqual([nobody.status, nobody.state], [404, "unknown"]);

  // By DNS, at either, by legacy name and by host; what nobody has is denied.
  const orders = await askUntilAnswered(following, "orders.corp.example.com");
  const stock = await askUntilAnswered(leading, host("stock"));
  const standing = vipsOf(await entries(kube));
  assert.deepEqual([standing.get(host("orders")), standing.get(host("stock"))], [orders, stock]);
  assert.deepEqual([...standing.keys()].sort(), (["cart", "orders", "pay", "stock"] as const).map(host));
  assert.equal((await dnsQuery(leading.dns, "nobody.corp.example.com")).rcode, NXDOMAIN);

  // After a restart of all, what stands is the demand.
  await Promise.all(replicas.map((replica) => replica.stop()));
  replicas = start();
  await Promise.all(replicas.map((replica) => ready(replica)));
  const [first, second] = replicas;
  assert.ok(first !== undefined && second !== undefined);
  await until("someone leads again", async () => (await leader(kube, "main")) !== undefined);
  assert.deepEqual(vipsOf(await entries(kube)), standing);
  assert.equal(await askUntilAnswered(first, host("orders")), orders);

  // Silence: only what is asked for stays, without one wrong answer, and what is asked for again has its VIP.
  const polls = replicas.map(({ dns }) => pollDns(dns, new Map([["orders.corp.example.com", orders]])));
  for (const place of places) await place.setConfig({ registries: [{ ...registry, demandTtl: "12s" }] });
  await until("the others have gone", async () => (await entries(kube)).size === 1, 120_000);
  await Promise.all(polls.map((poll) => poll.stop()));
  for (const { bad } of polls) assert.deepEqual(bad.slice(0, 3), []);
  assert.deepEqual([...(await entries(kube)).keys()], [host("orders")]);
  assert.equal(await askUntilAnswered(second, host("stock")), stock);
});
