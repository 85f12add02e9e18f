import assert from "node:assert/strict";
import { test } from "node:test";
import { describeError } from "../../../src/errors.ts";
import { createMetrics } from "../../../src/metrics.ts";
import { faultRow } from "../../faults/row.ts";
import { until } from "../../until.ts";
import { addresses, failures, read, readUntil, registryAt, services } from "./registry.ts";
import { type Stub, type StubHost, stubFor } from "./stub.ts";

const hosts = (...ips: readonly string[]): readonly StubHost[] => ips.map((ip) => ({ ip }));
const DENIED = { resultCode: 500, errorCode: 403, success: false, count: 0, message: "authorization failed!" };
/** A clock that stands until it is moved. */
const clock = () => {
  const state = { ms: 1_000_000 };
  const pass = (ms: number) => {
    state.ms += ms;
  };
  return Object.assign(() => state.ms, { pass });
};
const askedFor = (stub: Stub, type: string) => stub.asked.filter((one) => one.type === type).length;

test(
  faultRow({
    target: "Nacos",
    fault: "an answer is good and says inside that it is an error",
    expect: "the read fails: a token without rights lists nothing, which is not empty",
    peer: "slime",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const registry = registryAt(t, stub);
    assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"]);
    stub.special.ServiceListRequest = () => DENIED;
    await assert.rejects(read(registry), (error: Error & { failure?: string }) => {
      assert.match(error.message, /Cannot read services of registry "prod"/);
      return error.failure === "denied";
    });
    stub.special.ServiceListRequest = () => ({ success: true, count: 0, serviceNames: [] });
    await assert.rejects(read(registry), "no result code is no success");
    stub.special.ServiceListRequest = () => ({ resultCode: 200, success: true, count: 0 });
    await assert.rejects(read(registry), "no list is no empty one");
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "one group of several may not be read",
    expect: "its services stay, those of the others change",
    peer: "slime",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    stub.services.set("G1@@stock", hosts("192.0.2.2"));
    const registry = registryAt(t, stub, { groups: ["DEFAULT_GROUP", "G1"] });
    await read(registry);
    const isG1 = ({ groupName }: Readonly<Record<string, unknown>>) => (groupName === "G1" ? DENIED : undefined);
    stub.special = { ServiceListRequest: isG1, ServiceQueryRequest: isG1 };
    stub.services.delete("G1@@stock");
    stub.services.set("DEFAULT_GROUP@@payments", hosts("192.0.2.3"));
    const snapshot = await read(registry);
    assert.match(snapshot.incomplete ?? "", /namespace public: group G1 cannot be listed/);
    assert.match(failures(snapshot)["prod/public/G1@@stock"] ?? "", /403/);
    assert.deepEqual(addresses(snapshot, "payments"), ["192.0.2.3"]);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "a namespace does not exist, or nobody can tell",
    expect: "that it lists nothing removes nothing, and it is said",
    peer: "slime",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const registry = registryAt(t, stub, { namespaces: ["shop"] });
    assert.match((await read(registry)).incomplete ?? "", /nobody can tell whether it exists/);
    const list = (...ids: readonly string[]) => {
      stub.http["/nacos/v3/admin/core/namespace/list"] = (_request, response) =>
        void response.end(JSON.stringify({ code: 0, data: ids.map((namespace) => ({ namespace })) }));
    };
    list("public", "prod");
    const unknown = await read(registry);
    assert.match(unknown.incomplete ?? "", /the server has no namespace of this id/);
    assert.match((unknown.notes ?? []).join(), /namespace shop lists nothing/);
    list("public", "shop");
    const known = await read(registry);
    assert.deepEqual([known.incomplete, known.notes, known.services], [undefined, undefined, []]);
    stub.http["/nacos/v3/admin/core/namespace/list"] = (_request, response) => void response.writeHead(500).end();
    assert.match((await read(registry)).incomplete ?? "", /nobody can tell whether it exists \(.*500/);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "one namespace of several cannot be read",
    expect: "its services stay, those of the others change",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const registry = registryAt(t, stub, { namespaces: ["public", "shop"] });
    await read(registry);
    stub.special.ServiceListRequest = ({ namespace }) => (namespace === "shop" ? DENIED : undefined);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1", "192.0.2.2"));
    stub.push("DEFAULT_GROUP@@orders");
    const snapshot = await readUntil(registry, await read(registry), (one) => addresses(one, "orders")?.length === 2);
    assert.match(snapshot.incomplete ?? "", /namespace shop: /);
    assert.match(failures(snapshot)["prod/shop/orders"] ?? "", /403/);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "so few instances are healthy that the server says of all that they are",
    expect: "the service stays as it was",
    peer: "nacos #5083, nacos #11123",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const registry = registryAt(t, stub);
    const before = await read(registry);
    stub.info["DEFAULT_GROUP@@orders"] = { reachProtectionThreshold: true };
    stub.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1", "192.0.2.2"));
    const held = await readUntil(registry, before, (one) => failures(one)["prod/public/orders"] !== undefined);
    assert.match(failures(held)["prod/public/orders"] ?? "", /protectThreshold/);
    stub.info = {};
    stub.push("DEFAULT_GROUP@@orders");
    await readUntil(registry, held, (one) => addresses(one, "orders")?.length === 2);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "a list has not as many names as it counts, as others change it meanwhile",
    expect: "it is read again, and not believed the third time",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const registry = registryAt(t, stub);
    await read(registry);
    let short = 2;
    stub.special.ServiceListRequest = () =>
      short-- > 0 ? { resultCode: 200, success: true, count: 5, serviceNames: ["other"] } : undefined;
    assert.deepEqual(Object.keys(services(await read(registry))), ["orders"]);
    short = 3;
    await assert.rejects(read(registry), (error) => /there are 5 services and lists 1/.test(describeError(error)));
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "a list lacks a service that stands and that the server knows by name",
    expect: "it stays: absence is believed only if asking for it finds no instance either",
    peer: "slime",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const isListed = new Set<string>();
    stub.special.ServiceListRequest = () => ({
      resultCode: 200,
      success: true,
      count: isListed.size,
      serviceNames: [...isListed],
    });
    const standing = () => ["prod/public/orders", "prod/public/gone", "prod/other/foreign"];
    const registry = registryAt(t, stub);
    const first = await registry.read(AbortSignal.timeout(60_000), { trigger: "poll", standing });
    assert.deepEqual(addresses(first, "orders"), ["192.0.2.1"]);
    assert.deepEqual(first.services.length, 1);
    stub.services.set("DEFAULT_GROUP@@orders", []);
    assert.deepEqual((await registry.read(AbortSignal.timeout(60_000), { trigger: "poll", standing })).services, []);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "a client breaks and takes hundreds of services with it, or a node of a cluster is restarted",
    expect:
      "what is back within ten seconds was never gone, and the rest is told at once, so that the brakes see what it is",
    peer: "nacos #10209, nacos #7336",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const names = Array.from({ length: 40 }, (_, at) => `DEFAULT_GROUP@@s${at}`);
    for (const name of names) stub.services.set(name, hosts("192.0.2.1"));
    const now = clock();
    const registry = registryAt(t, stub, {}, now);
    let seen = await read(registry);
    const emptied = (snapshot: typeof seen) =>
      Object.values(services(snapshot)).filter(({ endpoints }) => endpoints.length === 0).length;
    for (const [at, name] of names.entries()) {
      stub.set(name, []);
      if (at !== 20) continue;
      // A change of another service is told at once, and nothing of the losses with it.
      stub.set("DEFAULT_GROUP@@s39", hosts("192.0.2.1", "192.0.2.2"));
      seen = await readUntil(registry, seen, (one) => addresses(one, "s39")?.length === 2);
      assert.equal(emptied(seen), 0);
    }
    const metrics = () => askedFor(stub, "ServiceQueryRequest");
    const questions = metrics();
    await until(() => stub.answered.filter(({ type }) => type === "NotifySubscriberResponse").length >= 41);
    assert.equal(emptied(await read(registry, "hint")), 0);
    now.pass(999);
    assert.deepEqual(failures(await read(registry, "hint")), {}, "more of them may come");
    now.pass(1);
    const away = await read(registry, "hint");
    assert.equal(Object.values(failures(away)).filter((why) => /together with other services/.test(why)).length, 40);
    // Some are back at once, and told so.
    stub.set("DEFAULT_GROUP@@s5", hosts("192.0.2.5"));
    await readUntil(registry, away, (one) => addresses(one, "s5")?.length === 1);
    now.pass(8_999);
    assert.equal(emptied(await read(registry, "hint")), 0);
    now.pass(1);
    await registry.waitForChange(seen.revision, AbortSignal.timeout(10_000));
    const all = await read(registry, "hint");
    assert.equal(emptied(all), 39);
    assert.notEqual(all.revision, seen.revision);
    assert.equal(metrics(), questions, "a hint asks for nothing");
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "losses go on and on",
    expect: "they are told after three seconds at most",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const names = Array.from({ length: 12 }, (_, at) => `DEFAULT_GROUP@@s${at}`);
    for (const name of names) stub.services.set(name, hosts("192.0.2.1", "192.0.2.2"));
    const now = clock();
    const registry = registryAt(t, stub, {}, now);
    await read(registry);
    let pushes = 0;
    let waited = 0;
    for (const name of names) {
      stub.set(name, hosts("192.0.2.1"));
      pushes++;
      await until(() => stub.answered.filter(({ type }) => type === "NotifySubscriberResponse").length >= pushes);
      if (addresses(await read(registry, "hint"), "s0")?.length === 1) break;
      now.pass(300);
      waited += 300;
    }
    assert.equal(waited, 3000);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "the connection ends, and the server comes back with a part of its clients",
    expect: "everything is asked for anew; what it lacks stays for half a minute, what is new is taken",
    peer: "nacos #7632, slime",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const now = clock();
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1", "192.0.2.2"));
    stub.services.set("DEFAULT_GROUP@@stock", hosts("192.0.2.3"));
    const registry = registryAt(t, stub, {}, now);
    let seen = await read(registry);
    stub.services = new Map([["DEFAULT_GROUP@@orders", hosts("192.0.2.2")]]);
    stub.reset();
    seen = await readUntil(registry, seen, ({ incomplete }) => incomplete !== undefined);
    assert.match(seen.incomplete ?? "", /answers since a moment ago/);
    assert.match(failures(seen)["prod/public/orders"] ?? "", /lists 1 endpoints less, which may come back/);
    assert.match(failures(seen)["prod/public/stock"] ?? "", /lists 1 endpoints less/);
    stub.set("DEFAULT_GROUP@@orders", hosts("192.0.2.2", "192.0.2.4"));
    seen = await readUntil(registry, seen, (one) => addresses(one, "orders") !== undefined);
    assert.deepEqual(addresses(seen, "orders"), ["192.0.2.2", "192.0.2.4"]);
    now.pass(29_999);
    assert.match(failures(await read(registry))["prod/public/stock"] ?? "", /may come back/);
    now.pass(1);
    await registry.waitForChange(seen.revision, AbortSignal.timeout(10_000));
    const settled = await read(registry);
    assert.equal(settled.incomplete, undefined);
    assert.deepEqual(Object.keys(services(settled)), ["orders"]);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "the server asks its clients to connect to another one",
    expect: "the next server is connected to, and everything is subscribed to there",
  }),
  async (t) => {
    const [first, second] = [await stubFor(t), await stubFor(t)];
    for (const stub of [first, second]) stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    // Both gRPC ports are at the same distance from those of HTTP only by chance: HTTP is not asked here.
    const at = ({ address, grpcPortOffset }: Stub) =>
      `http://127.0.0.1:${Number(new URL(address).port) + grpcPortOffset - 1000}`;
    const registry = registryAt(t, { address: at(first), grpcPortOffset: 1000 }, { address: [at(first), at(second)] });
    const seen = await read(registry);
    assert.deepEqual([first.connections(), second.connections()], [1, 0]);
    first.send("ConnectResetRequest", { requestId: "9", serverIp: "192.0.2.99", serverPort: "1" });
    await readUntil(registry, seen, ({ incomplete }) => incomplete !== undefined);
    assert.deepEqual([first.connections(), second.connections()], [1, 1]);
    assert.ok(first.answered.some(({ type, body }) => type === "ConnectResetResponse" && body.requestId === "9"));
    second.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1", "192.0.2.2"));
    await readUntil(registry, seen, (one) => addresses(one, "orders")?.length === 2);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "of several servers the one that is asked does not answer",
    expect: "the next one is connected to",
  }),
  async (t) => {
    const [gone, second] = [await stubFor(t), await stubFor(t)];
    second.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const at = ({ address, grpcPortOffset }: Stub) =>
      `http://127.0.0.1:${Number(new URL(address).port) + grpcPortOffset - 1000}`;
    await gone.close();
    const registry = registryAt(t, { address: at(gone), grpcPortOffset: 1000 }, { address: [at(gone), at(second)] });
    assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"]);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "no server answers, or one does not answer in time",
    expect: "the read fails as a whole: everything of this registry stays",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const registry = registryAt(t, stub, { timeout: "3s" });
    await read(registry);
    stub.special.ServiceListRequest = () => "silence";
    await assert.rejects(read(registry), (error: Error & { failure?: string }) => error.failure === "timeout");
    stub.special = {};
    assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"], "on another connection");
    assert.equal(stub.connections(), 2);
    await stub.close();
    await assert.rejects(read(registry), (error: Error & { failure?: string }) => error.failure === "connection");
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "the server is of version 1, which has no gRPC",
    expect: "the error says which version it is and which is needed",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.http["/nacos/v1/console/server/state"] = (_request, response) =>
      void response.end(JSON.stringify({ version: "1.4.2" }));
    const registry = registryAt(t, { address: stub.address, grpcPortOffset: 1 });
    const why = await read(registry).then(
      () => "",
      (error: Error) => String(error.cause),
    );
    assert.match(why, /the server is Nacos 1\.4\.2, which has no gRPC: 2\.0 or newer is needed/);
  },
);

const rubbish: readonly { readonly name: string; readonly answer: object | Buffer }[] = [
  { name: "no JSON", answer: Buffer.from("<html>") },
  { name: "a list in the place of an object", answer: Buffer.from("[]") },
  { name: "too deep", answer: Buffer.from(`{"a":${"[".repeat(100)}${"]".repeat(100)}}`) },
  { name: "too many values", answer: Buffer.from(`{"a":[${"1,".repeat(250_001)}1]}`) },
  { name: "too large", answer: Buffer.alloc(10 * 1024 * 1024 + 1, " ") },
  { name: "an instance that is a text", answer: { resultCode: 200, serviceInfo: { name: "orders", hosts: ["x"] } } },
  {
    name: "a port that is a text",
    answer: { resultCode: 200, serviceInfo: { name: "orders", hosts: [{ ip: "192.0.2.1", port: "80" }] } },
  },
  {
    name: "a health that is a text",
    answer: {
      resultCode: 200,
      serviceInfo: { name: "orders", hosts: [{ ip: "192.0.2.1", port: 80, healthy: "false" }] },
    },
  },
  {
    name: "too many instances",
    answer: {
      resultCode: 200,
      serviceInfo: { name: "orders", hosts: Array(20_001).fill({ ip: "192.0.2.1", port: 80 }) },
    },
  },
];
for (const { name, answer } of rubbish)
  test(
    faultRow(
      {
        target: "Nacos",
        fault: "what is answered or pushed about a service cannot be understood, or is too large",
        expect: "the service stays as it was, the others change, and it is asked for again",
        peer: "higress",
      },
      name,
    ),
    async (t) => {
      const stub = await stubFor(t);
      const metrics = createMetrics();
      stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
      stub.services.set("DEFAULT_GROUP@@stock", hosts("192.0.2.2"));
      const registry = registryAt(t, stub, { verifyEvery: "1s" }, undefined, metrics);
      await read(registry);
      stub.special.ServiceQueryRequest = ({ serviceName }) =>
        serviceName === "orders" ? (answer as never) : undefined;
      stub.services.set("DEFAULT_GROUP@@stock", hosts("192.0.2.3"));
      const isFailed = async () => failures(await read(registry))["prod/public/orders"] !== undefined;
      await until(isFailed);
      await until(async () => addresses(await read(registry), "stock")?.[0] === "192.0.2.3");
      stub.special = {};
      assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"]);
      const body = Buffer.isBuffer(answer) ? answer : Buffer.from(JSON.stringify(answer));
      stub.push("DEFAULT_GROUP@@orders", body);
      await until(async () => (await metrics.registry.metrics()).includes('registry="prod",result="bad"} 1'));
      assert.equal(stub.connections(), 1, "nobody ends the connection of all others");
      assert.deepEqual(addresses(await read(registry), "stock"), ["192.0.2.3"]);
    },
  );

test(
  faultRow({
    target: "Nacos",
    fault: "a push is older than what is known, or of a service that nobody asked for",
    expect: "it is counted and changes nothing",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const metrics = createMetrics();
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    const registry = registryAt(t, stub, {}, undefined, metrics);
    const before = await read(registry);
    const old = { name: "orders", groupName: "DEFAULT_GROUP", hosts: [], lastRefTime: 5 };
    stub.push("DEFAULT_GROUP@@orders", { serviceInfo: old });
    stub.push("DEFAULT_GROUP@@orders", { serviceInfo: { ...old, name: "other" } });
    const counted = async (result: string) =>
      (await metrics.registry.metrics()).includes(`x2istio_nacos_pushes_total{registry="prod",result="${result}"} 1`);
    await until(async () => (await counted("old")) && (await counted("unknown")));
    const after = await read(registry);
    assert.equal(after.revision, before.revision);
    assert.equal(services(after).orders, services(before).orders);
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "a push is lost",
    expect: "each service is asked for again within `verifyEvery`",
  }),
  async (t) => {
    const stub = await stubFor(t);
    const now = clock();
    const names = Array.from({ length: 10 }, (_, at) => `s${at}`);
    for (const name of names) stub.services.set(`DEFAULT_GROUP@@${name}`, hosts("192.0.2.1"));
    const registry = registryAt(t, stub, { verifyEvery: "5m" }, now);
    await read(registry);
    for (const name of names) stub.services.set(`DEFAULT_GROUP@@${name}`, hosts("192.0.2.2"));
    for (const polls of [2, 4, 6, 8, 10]) {
      now.pass(60_000);
      const snapshot = await read(registry);
      assert.equal(names.filter((name) => addresses(snapshot, name)?.[0] === "192.0.2.2").length, polls);
    }
    assert.equal(askedFor(stub, "ServiceQueryRequest"), 10, "no more than has to be");
  },
);

test(
  faultRow({
    target: "Nacos",
    fault: "the right to list groups is missing",
    expect: "only DEFAULT_GROUP is read, and it is said",
  }),
  async (t) => {
    const stub = await stubFor(t);
    stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
    stub.services.set("G1@@stock", hosts("192.0.2.2"));
    const registry = registryAt(t, stub, { groups: undefined });
    const refused = await read(registry);
    assert.deepEqual(Object.keys(services(refused)), ["orders"]);
    assert.match((refused.notes ?? []).join(), /only DEFAULT_GROUP is read/);
    assert.equal(refused.incomplete, undefined);
    const list = "/nacos/v3/admin/ns/service/list";
    stub.http[list] = (_request, response) => void response.writeHead(503).end();
    assert.match((await read(registry)).incomplete ?? "", /its groups cannot be found/);
    stub.http[list] = (_request, response) =>
      void response.end(
        JSON.stringify({ code: 0, data: { pageItems: [{ groupName: "DEFAULT_GROUP" }, { groupName: "G1" }] } }),
      );
    const found = await read(registry);
    assert.deepEqual(Object.keys(services(found)), ["G1@@stock", "orders"]);
    assert.equal(found.notes, undefined);
  },
);

test("clients that break again and again are given half a minute", async (t) => {
  const stub = await stubFor(t);
  const now = clock();
  const names = ["a", "b"].map((name) => `DEFAULT_GROUP@@${name}`);
  for (const name of names) stub.services.set(name, hosts("192.0.2.1"));
  const registry = registryAt(t, stub, {}, now);
  await read(registry);
  let pushes = 0;
  const pushed = async (ips: readonly string[]) => {
    for (const name of names) stub.set(name, hosts(...ips));
    pushes += names.length;
    await until(() => stub.answered.filter(({ type }) => type === "NotifySubscriberResponse").length === pushes);
  };
  let heldMs = 0;
  for (; heldMs < 60_000; heldMs += 5000) {
    await pushed(["192.0.2.1"]);
    await read(registry, "hint");
    await pushed([]);
    now.pass(5000);
    if (addresses(await read(registry, "hint"), "a")?.length === 0) break;
  }
  assert.equal(heldMs, 25_000);
});

test("a service that is listed first is seen between two polls, and nothing else is asked for then", async (t) => {
  const stub = await stubFor(t);
  stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
  const registry = registryAt(t, stub, { verifyEvery: "24h" });
  const before = await read(registry);
  stub.services.set("DEFAULT_GROUP@@stock", hosts("192.0.2.2"));
  await registry.waitForChange(before.revision, AbortSignal.timeout(60_000));
  const after = await read(registry, "hint");
  assert.deepEqual(addresses(after, "stock"), ["192.0.2.2"]);
  assert.equal(services(after).orders, services(before).orders);
  assert.ok(askedFor(stub, "ServiceQueryRequest") <= 1);
  stub.services.delete("DEFAULT_GROUP@@stock");
  await registry.waitForChange(after.revision, AbortSignal.timeout(60_000));
  assert.deepEqual(addresses(await read(registry, "hint"), "stock"), undefined);
});

test("a loss that is alone is told after a quarter of a second", async (t) => {
  const stub = await stubFor(t);
  const now = clock();
  stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1", "192.0.2.2"));
  const registry = registryAt(t, stub, {}, now);
  await read(registry);
  stub.set("DEFAULT_GROUP@@orders", hosts("192.0.2.2"));
  await until(() => stub.answered.some(({ type }) => type === "NotifySubscriberResponse"));
  now.pass(249);
  assert.deepEqual(addresses(await read(registry, "hint"), "orders"), ["192.0.2.1", "192.0.2.2"]);
  now.pass(1);
  assert.deepEqual(addresses(await read(registry, "hint"), "orders"), ["192.0.2.2"]);
  stub.set("DEFAULT_GROUP@@orders", []);
  await until(() => stub.answered.filter(({ type }) => type === "NotifySubscriberResponse").length === 2);
  now.pass(999);
  assert.deepEqual(
    addresses(await read(registry, "hint"), "orders"),
    ["192.0.2.2"],
    "of the last it makes no difference",
  );
  now.pass(1);
  assert.deepEqual(addresses(await read(registry, "hint"), "orders"), []);
});

test("a service without instances is not subscribed to for ever, as that keeps it listed", async (t) => {
  const stub = await stubFor(t);
  const now = clock();
  const registry = registryAt(t, stub, { verifyEvery: "24h" }, now);
  stub.services.set("DEFAULT_GROUP@@orders", []);
  assert.deepEqual(addresses(await read(registry), "orders"), []);
  now.pass(29_999);
  await read(registry);
  const subscriptions = () =>
    stub.asked.filter(({ type }) => type === "SubscribeServiceRequest").map(({ body }) => body.subscribe);
  assert.deepEqual(subscriptions(), [true]);
  now.pass(1);
  await read(registry);
  assert.deepEqual(subscriptions(), [true, false]);
  stub.services.set("DEFAULT_GROUP@@orders", hosts("192.0.2.1"));
  assert.deepEqual(addresses(await read(registry), "orders"), ["192.0.2.1"]);
  await read(registry);
  assert.deepEqual(subscriptions(), [true, false, true]);
});
