import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, askInstances, askServices, hostsOf, namesOf, revisionOf } from "./ask.ts";
import type { Json } from "./forms.ts";
import { type PolarisOptions, startPolaris } from "./polaris.ts";

type Context = { after(end: () => Promise<void>): void };

async function started(t: Context, options: PolarisOptions = {}) {
  const polaris = await startPolaris(options);
  t.after(() => polaris.stop());
  return polaris;
}

const HOSTS = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];

async function ordersOf(t: Context, seed: number): Promise<string[]> {
  const polaris = await started(t, { seed });
  for (const host of HOSTS) polaris.register({ service: "orders", host, port: 80 });
  const answers: string[] = [];
  for (let round = 0; round < 10; round += 1) {
    const hosts = hostsOf(await askInstances(polaris.address, "orders"));
    assert.deepEqual(hosts.toSorted(), HOSTS);
    answers.push(hosts.join(" "));
  }
  return answers;
}

test("startPolaris() gives every answer an order of its own, the same for the same seed", async (t) => {
  const first = await ordersOf(t, 1);
  assert.ok(new Set(first).size > 1);
  assert.deepEqual(await ordersOf(t, 1), first);
  assert.notDeepEqual(await ordersOf(t, 2), first);
});

test("startPolaris() keeps a revision while nothing changes and moves it when something does", async (t) => {
  const polaris = await started(t);
  const revision = async () => revisionOf(await askInstances(polaris.address, "orders"));
  const id = polaris.register({ service: "orders", host: "192.0.2.1", port: 80 });
  const changes: (() => void)[] = [
    () => polaris.update(id, { weight: 7 }),
    () => polaris.update(id, { isolate: true }),
    () => polaris.lapse(id),
    () => polaris.register({ service: "orders", host: "192.0.2.2", port: 80 }),
    () => polaris.deregister(id),
    () => polaris.setService("default", "orders", { metadata: { a: "b" } }),
  ];
  let before = await revision();
  for (const change of changes) {
    assert.equal(await revision(), before);
    change();
    const after = await revision();
    assert.notEqual(after, before, String(change));
    const unchanged = await askInstances(polaris.address, "orders", { revision: after });
    assert.deepEqual([unchanged.status, unchanged.body["code"], unchanged.body["instances"]], [200, 200001, []]);
    before = after;
  }
});

test("startPolaris() gives an emptied namespace a revision and an unknown one none", async (t) => {
  const polaris = await started(t);
  polaris.setService("shop", "cart");
  polaris.deleteService("shop", "cart");
  const emptied = await askServices(polaris.address, "shop");
  assert.deepEqual([emptied.body["code"], namesOf(emptied)], [200000, []]);
  assert.equal(revisionOf(emptied), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  assert.equal(revisionOf(await askServices(polaris.address, "nowhere")), null);
});

test("startPolaris() forgets a service with its aliases", async (t) => {
  const polaris = await started(t);
  polaris.setService("default", "orders");
  polaris.createAlias({ namespace: "default", name: "64129:65536" }, { namespace: "default", name: "orders" });
  polaris.createAlias({ namespace: "default", name: "old" }, { namespace: "default", name: "orders" });
  assert.deepEqual(namesOf(await askServices(polaris.address, "default")), ["64129:65536", "old", "orders"]);
  polaris.deleteAlias({ namespace: "default", name: "old" });
  assert.equal((await askInstances(polaris.address, "old")).body["code"], 400202);
  assert.equal((await askInstances(polaris.address, "64129:65536")).body["code"], 200000);
  polaris.deleteService("default", "orders");
  assert.equal((await askInstances(polaris.address, "64129:65536")).body["code"], 400202);
  assert.deepEqual(namesOf(await askServices(polaris.address, "default")), []);
});

test("startPolaris() revives a lapsed instance by a heartbeat", async (t) => {
  const polaris = await started(t);
  const tetrad = { service: "orders", host: "192.0.2.1", port: 80 };
  const id = polaris.register({ ...tetrad, heartbeatTtlSeconds: 2 });
  const health = async () => {
    const { body } = await askInstances(polaris.address, "orders");
    return (body["instances"] as readonly Json[]).map(({ healthy }) => healthy);
  };
  polaris.lapse(id);
  assert.deepEqual(await health(), [false]);
  await ask(polaris.address, "/v1/Heartbeat", { body: { namespace: "default", ...tetrad } });
  assert.deepEqual(await health(), [true]);
});

test("startPolaris() takes a null for a field that is not given, as protocol buffers do", async (t) => {
  const polaris = await started(t);
  const location = { region: "ap", zone: null, campus: null };
  const body = { namespace: "default", service: "cart", host: "192.0.2.1", port: 80, weight: null, healthy: null };
  await ask(polaris.address, "/v1/RegisterInstance", { body: { ...body, version: null, location } });
  const answer = await askInstances(polaris.address, "cart");
  const [instance] = answer.body["instances"] as readonly Json[];
  assert.deepEqual(
    [
      instance?.["weight"],
      instance?.["healthy"],
      instance?.["version"],
      instance?.["location"],
      instance?.["metadata"],
    ],
    [100, true, null, location, { campus: "", region: "ap", zone: "" }],
  );
});

const rights = [
  { right: "full", services: [200, ["orders"]], instances: 200000, console: [200, 2] },
  { right: "blind", services: [200, []], instances: 401001, console: [200, 0] },
  { right: "read", services: [401, []], instances: 401001, console: [200, 0] },
  { right: "none", services: [401, []], instances: 401001, console: [401, 0] },
  { right: undefined, services: [401, []], instances: 401001, console: [401, 0] },
] as const;
for (const { right, services, instances, console } of rights) {
  test(`startPolaris({ strict }) lets a token with the right ${right} do what it may`, async (t) => {
    const polaris = await started(t, { strict: true, tokens: {} });
    polaris.register({ service: "orders", host: "192.0.2.1", port: 80 });
    polaris.setToken("secret", right);
    const listed = await askServices(polaris.address, "default", "secret");
    assert.deepEqual([listed.status, namesOf(listed)], services);
    assert.equal((await askInstances(polaris.address, "orders", {}, "secret")).body["code"], instances);
    const seen = await ask(polaris.address, "/naming/v1/services", { token: "secret" });
    assert.deepEqual([seen.status, seen.body["amount"]], console);
  });
}

test("startPolaris() never gives more than a hundred entries of the console, whatever is asked", async (t) => {
  const polaris = await started(t);
  for (let index = 0; index < 130; index += 1) polaris.setService("shop", `cart-${index}`);
  const page = async (query: string) => {
    const { body } = await ask(polaris.address, `/naming/v1/services?namespace=shop${query}`, { token: "TOKEN-MAIN" });
    return [body["amount"], body["size"]];
  };
  assert.deepEqual(await page(""), [130, 100]);
  assert.deepEqual(await page("&limit=500"), [130, 100]);
  assert.deepEqual(await page("&limit=500&offset=100"), [130, 30]);
});

test("startPolaris() remembers the last thousand requests", async (t) => {
  const polaris = await started(t);
  const query = { path: "/v1/Discover", method: "POST", token: "secret", status: 400 };
  await askInstances(polaris.address, "orders", {}, "secret");
  const [{ method, path, token, status, body } = assert.fail()] = polaris.requests;
  assert.deepEqual({ method, path, token, status }, query);
  assert.deepEqual(body, { type: "INSTANCE", service: { namespace: "default", name: "orders" } });
  for (let index = 0; index < 1005; index += 1) await ask(polaris.address, "/naming/v1/services/count").catch(() => {});
  assert.equal(polaris.requests.length, 1000);
  assert.equal(polaris.requests.at(0)?.path, "/naming/v1/services/count");
});
